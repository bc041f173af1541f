#!/usr/bin/env bash
# OpenVINO reads an ONNX LSTM with peepholes as one without.
#
# Versions: openvino 2026.4.1, onnx 1.23.2, numpy 2.4.6 (PyPI), Python 3.11, Linux x86-64, the CPU device at f32.
# Expected: the equations of ONNX LSTM, in which the gates also see the cell: i = f(X·W + H·R + P_i⊙C + b), and so on for
#           o and f, by the input P, "the weight tensor for peepholes"; or that it refuses the input.
# Seen:     the answer for P = 0, without a word.
# Exit 0 while OpenVINO behaves so, 1 when it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'openvino==2026.4.1' 'onnx==1.23.2' 'numpy==2.4.6'

cat > try.py <<'PYTHON'
import numpy as np
import onnx
import openvino
from onnx import parser

onnx.save(
    parser.parse_model("""<ir_version: 8, opset_import: ["" : 14]>
    g (float[1,1,2] x, float[1,4,2] w, float[1,4,1] r, float[1,3] p) => (float[1,1,1] h)
    <float[1,1,1] h0 = {0}, float[1,1,1] c0 = {2}, float[1,8] b = {0,0,0,0,0,0,0,0}> {
        y, h, c = LSTM <hidden_size = 1> (x, w, r, b, , h0, c0, p)
    }"""),
    "net.onnx",
)
onnx.checker.check_model("net.onnx", full_check=True)
x, w = np.ones((1, 1, 2), np.float32), np.full((1, 4, 2), 0.1, np.float32)
r, p = np.full((1, 4, 1), 0.1, np.float32), np.array([[5, -1, 3]], np.float32)  # peepholes of i, o, f


def by_hand(p):
    """h after one step from h = 0, c = 2: the equations of the operator, all weights 0.1."""
    sigmoid = lambda value: 1 / (1 + np.exp(-value))
    given = 0.2
    i, f = sigmoid(given + p[0, 0] * 2), sigmoid(given + p[0, 2] * 2)
    c = f * 2 + i * np.tanh(given)
    return sigmoid(given + p[0, 1] * c) * np.tanh(c)


net = openvino.Core().compile_model("net.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
found = float(np.array(net([x, w, r, p])[0]).item())
print(f"h by the equations {by_hand(p):.4f}, with P = 0 {by_hand(0 * p):.4f}, OpenVINO {found:.4f}")
assert np.isclose(found, by_hand(0 * p), atol=1e-4) and not np.isclose(found, by_hand(p), atol=1e-2), "OpenVINO has changed"
PYTHON
venv/bin/python try.py
echo "OpenVINO still ignores the peepholes"
