#!/usr/bin/env bash
# MNN rounds halves away from zero where ONNX Round takes the even neighbour.
#
# Versions: MNN 3.6.1, onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6 (PyPI), Python 3.11, Linux x86-64.
# Expected: "In case of halves, the rule is to round them to the nearest even integer" (ONNX): 0.5 is 0, 2.5 is 2.
# Seen:     1 and 3: every other half is off by one, which shows in quantized nets.
# Exit 0 while MNN behaves so, 1 when it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    'MNN==3.6.1' 'onnx==1.23.2' 'onnxruntime==1.32.0' 'numpy==2.4.6'

cat > try.py <<'PYTHON'
import _tools
import MNN
import numpy as np
import onnx
import onnxruntime
from onnx import parser

HEAD = '<ir_version: 8, opset_import: ["" : 18]> g '


def answers(text, **inputs):
    """What onnxruntime and MNN make of a graph, whose output is z."""
    onnx.save(parser.parse_model(HEAD + text), "net.onnx")
    onnx.checker.check_model("net.onnx", full_check=True)
    inputs = {name: np.array(*value) for name, value in inputs.items()}
    right = onnxruntime.InferenceSession("net.onnx").run(["z"], inputs)[0]
    _tools.mnnconvert(["", "-f", "ONNX", "--modelFile", "net.onnx", "--MNNModel", "net.mnn", "--bizCode", "n"])
    expr = MNN.expr
    net = MNN.nn.load_module_from_file("net.mnn", list(inputs), ["z"], backend=expr.Backend.CPU)
    kinds = {"int32": expr.int, "float32": expr.float}
    given = [expr.const(each, list(each.shape), expr.NCHW, kinds[each.dtype.name]) for each in inputs.values()]
    found = np.array(net.forward(given)[0].read())
    print(f"RESULT {text.partition('{')[2].rstrip(' }')}: right {right.tolist()}, MNN {found.tolist()}")
    return right, found


right, found = answers("(float[6] x) => (float[6] z) { z = Round (x) }", x=([0.5, 1.5, 2.5, -0.5, -1.5, -2.5], np.float32))
assert right.tolist() == [0, 2, 2, 0, -2, -2]
assert found.tolist() == [1, 2, 3, -1, -2, -3], "MNN has changed"
PYTHON
venv/bin/python try.py 2>&1 | tee log | grep RESULT || { cat log; exit 1; }
echo "MNN still rounds halves away from zero"
