#!/usr/bin/env bash
# MNN takes the sum over everything where ONNX ReduceL1, ReduceL2 and ReduceSumSquare name their axes.
#
# Versions: MNN 3.6.1, onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6 (PyPI), Python 3.11, Linux x86-64.
# Expected: "axes: a list of integers, along which to reduce" (ONNX, an input since opset 18), as ReduceSum and ReduceMax
#   have it in MNN too: of [[1, 2, 3], [4, 5, 6]] along axis 1 the squares sum to 14 and 77.
# Seen:     91, one number in place of two: no error, another shape.
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


X = [[1, 2, 3], [4, 5, 6]], np.float32
for op in ("ReduceL1", "ReduceL2", "ReduceSumSquare"):
    right, found = answers(f"(float[2,3] x) => (float[2] z) <int64[1] a = {{1}}> {{ z = {op} <keepdims = 0> (x, a) }}", x=X)
    whole = {"ReduceL1": 21, "ReduceL2": 91**0.5, "ReduceSumSquare": 91}[op]
    assert right.shape == (2,)
    assert found.shape == () and np.isclose(found, whole), "MNN has changed"
for op in ("ReduceSum", "ReduceMax"):
    right, found = answers(f"(float[2,3] x) => (float[2] z) <int64[1] a = {{1}}> {{ z = {op} <keepdims = 0> (x, a) }}", x=X)
    assert np.array_equal(right, found)
PYTHON
venv/bin/python try.py 2>&1 | tee log | grep RESULT || { cat log; exit 1; }
echo "MNN still reduces over all axes"
