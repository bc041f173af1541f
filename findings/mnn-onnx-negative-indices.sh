#!/usr/bin/env bash
# MNN reads 0 for a negative index of ONNX GatherElements, and ScatterElements leaves its place unwritten.
#
# Versions: MNN 3.6.1, onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6 (PyPI), Python 3.11, Linux x86-64.
# Expected: "all index values are expected to be within bounds [-s, s-1] along axis of size s" (ONNX): -1 is the last.
# Seen:     GatherElements gives 0 there, ScatterElements writes nothing; Gather itself is right.
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
    "(float[2,3] x, int32[2,1] i) => (float[2,1] z) { z = GatherElements <axis = 1> (x, i) }",
    x=([[1, 2, 3], [4, 5, 6]], np.float32),
    i=([[-1], [1]], np.int32),
)
assert right.tolist() == [[3], [5]]
assert found.tolist() == [[0], [5]], "MNN has changed"
right, found = answers(
    "(float[5] x, int32[2] i, float[2] u) => (float[5] z) { z = ScatterElements (x, i, u) }",
    x=([1, 2, 3, 4, 5], np.float32),
    i=([1, -3], np.int32),
    u=([9, 8], np.float32),
)
assert right.tolist() == [1, 9, 8, 4, 5]
assert found.tolist() == [1, 9, 3, 4, 5], "MNN has changed"
right, found = answers(
    "(float[3] x, int32[2] i) => (float[2] z) { z = Gather (x, i) }", x=([1, 2, 3], np.float32), i=([-1, 1], np.int32)
)
assert right.tolist() == found.tolist() == [3, 2]
PYTHON
venv/bin/python try.py 2>&1 | tee log | grep RESULT || { cat log; exit 1; }
echo "MNN still reads and writes nothing at negative indices"
