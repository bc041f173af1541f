#!/usr/bin/env bash
# MNN's Mod has the sign of the divisor where ONNX asks for C's fmod, which has that of the dividend.
#
# Versions: MNN 3.6.1, onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6 (PyPI), Python 3.11, Linux x86-64.
# Expected: with fmod = 1 (in opset 18 the only one for floats) Mod is C's fmod: -4.5 mod 2 is -0.5.
# Seen:     1.5, as Python has it: the attribute changes nothing.
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


right, found = answers(
    "(float[4] x, float[4] y) => (float[4] z) { z = Mod <fmod = 1> (x, y) }",
    x=([-4.5, 7.5, 5, -5], np.float32),
    y=([2, -3, 3, 3], np.float32),
)
assert right.tolist() == [-0.5, 1.5, 2, -2]
assert found.tolist() == [1.5, -1.5, 2, 1], "MNN has changed"
PYTHON
venv/bin/python try.py 2>&1 | tee log | grep RESULT || { cat log; exit 1; }
echo "MNN still answers Python's remainder"
