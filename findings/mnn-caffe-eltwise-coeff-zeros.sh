#!/usr/bin/env bash
# MNN's Caffe converter takes Eltwise SUM with `coeff`, and the net then answers zeros, unless the coefficients are 1, -1.
#
# Versions: MNN 3.6.1 (PyPI), numpy 2.2.6, Python 3.10-3.12, Linux x86-64; beside it opencv-python-headless 4.12.0.88.
# Expected: caffe.proto says of EltwiseParameter.coeff "blob-wise coefficient for SUM operation": the sum of
#   coeff_i * bottom_i, as Caffe 1.0 computes it (eltwise_layer.cpp), and as OpenCV's reader of the same file does.
# Seen: "Converted Success!", and 0 0 0 for every pair of coefficients but (1, -1); even (1, 1), the default written out.
# Exit 0 while MNN behaves so, 1 when it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'MNN==3.6.1' 'numpy==2.2.6' 'opencv-python-headless==4.12.0.88'

cat > try.py <<'PYTHON'
import sys

import _tools
import cv2
import MNN
import numpy as np

coeff = [float(value) for value in sys.argv[1:]]
x, y = np.array([[1, 2, 3]], np.float32), np.array([[10, 20, 40]], np.float32)
net = "".join(
    f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ dim: 1 dim: 3 }} }} }}\n' for name in "xy"
)
net += 'layer { name: "out" type: "Eltwise" bottom: "x" bottom: "y" top: "out" eltwise_param { operation: SUM %s } }\n'
with open("net.prototxt", "w") as file:
    file.write('name: "n"\n' + net % " ".join(f"coeff: {value:g}" for value in coeff))
with open("net.caffemodel", "wb") as file:
    file.write(b"\n\x01n")  # a NetParameter named n, without weights

_tools.mnnconvert(
    ["", "-f", "CAFFE", "--modelFile", "net.caffemodel", "--prototxt", "net.prototxt", "--MNNModel", "net.mnn", "--bizCode", "n"]
)
interpreter = MNN.Interpreter("net.mnn")
session = interpreter.createSession({"backend": "CPU", "precision": "high"})
kind, order = MNN.Halide_Type_Float, MNN.Tensor_DimensionType_Caffe
for name, tensor in interpreter.getSessionInputAll(session).items():
    tensor.copyFrom(MNN.Tensor((1, 3), kind, {"x": x, "y": y}[name], order))
interpreter.runSession(session)
whole = MNN.Tensor((1, 3), kind, np.zeros((1, 3), np.float32), order)
interpreter.getSessionOutput(session, "out").copyToHostTensor(whole)
reader = cv2.dnn.readNetFromCaffe("net.prototxt")
reader.setInput(x, "x")
reader.setInput(y, "y")

right = (coeff[0] * x + coeff[1] * y).reshape(-1)
found, other = np.array(whole.getData(), np.float32).reshape(-1), reader.forward("out").reshape(-1)
print(f"RESULT coeff {coeff}: right {right}, OpenCV {other}, MNN {found}")
assert np.allclose(other, right), "OpenCV has changed"
assert np.allclose(found, right if coeff == [1, -1] else 0), "MNN has changed"
PYTHON

for coeff in "1 -1" "1 1" "2 -1" "0.5 0.5"; do
    # shellcheck disable=SC2086 - two arguments
    venv/bin/python try.py $coeff 2>&1 | tee log | grep RESULT || { cat log; exit 1; }
    ! grep -q "has changed" log
done
echo "MNN still answers zeros for Eltwise SUM with coefficients other than 1, -1"
