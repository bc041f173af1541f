#!/usr/bin/env bash
# OpenVINO stretches an image that ONNX Resize says shall keep its aspect ratio.
#
# Versions: openvino 2026.4.1, onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6 (PyPI), Python 3.11, Linux x86-64.
# Expected: "keep_aspect_ratio_policy: `not_larger`: ... the output image's size is not larger than `sizes`, keeping the
#           original aspect ratio" (ONNX, opset 18): 2 x 4 resized to 6 x 8 is 4 x 8, which onnxruntime gives.
# Seen:     6 x 8, without a word; `not_smaller`, 6 x 12, the same.
# Exit 0 while OpenVINO behaves so, 1 when it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    'openvino==2026.4.1' 'onnx==1.23.2' 'onnxruntime==1.32.0' 'numpy==2.4.6'

cat > try.py <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import parser

IMAGE = np.arange(8, dtype=np.float32).reshape(1, 1, 2, 4)
for policy, right in (("stretch", (6, 8)), ("not_larger", (4, 8)), ("not_smaller", (6, 12))):
    onnx.save(
        parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 18]>
        g (float[1,1,2,4] x) => (float[1,1,h,w] y) <int64[2] size = {{6, 8}}> {{
            y = Resize <keep_aspect_ratio_policy = "{policy}", axes = [2, 3]> (x, , , size)
        }}"""),
        "net.onnx",
    )
    onnx.checker.check_model("net.onnx", full_check=True)
    other = onnxruntime.InferenceSession("net.onnx").run(None, {"x": IMAGE})[0].shape[2:]
    net = openvino.Core().compile_model("net.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = np.array(net([IMAGE])[0]).shape[2:]
    print(f"{policy}: right {right}, onnxruntime {other}, OpenVINO {found}")
    assert other == right
    assert found == (6, 8), "OpenVINO has changed"
PYTHON
venv/bin/python try.py
echo "OpenVINO still stretches whatever the policy"
