#!/usr/bin/env bash
# OpenVINO transforms axis 1, whatever axis the input of ONNX DFT names.
#
# Versions: openvino 2026.4.1, onnx 1.23.2, numpy 2.4.6 (PyPI), Python 3.11, Linux x86-64, the CPU device at f32.
# Expected: "axis: the axis as a scalar on which to perform the DFT" (ONNX, an input since opset 20), as numpy has it.
# Seen:     for axis 2 of a (1, 4, 3) signal the transform of axis 1, which is what the attribute of opset 17 defaults
#           to: no error, the same shape, other numbers. With the attribute of opset 17 it is right.
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

SIGNAL = np.arange(12, dtype=np.float32).reshape(1, 4, 3, 1)


def transformed(opset, node, constants=""):
    """What OpenVINO makes of the signal, as complex numbers (1, 4, 3)."""
    head = f'<ir_version: 8, opset_import: ["" : {opset}]> g (float[1,4,3,1] x) => (float[1,4,3,2] z) {constants}'
    onnx.save(parser.parse_model(f"{head} {{ z = {node} }}"), "net.onnx")
    onnx.checker.check_model("net.onnx", full_check=True)
    core = openvino.Core()
    net = core.compile_model("net.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    parts = np.array(net([SIGNAL])[0])
    return parts[..., 0] + 1j * parts[..., 1]


by_axis = {axis: np.fft.fft(SIGNAL[..., 0], axis=axis) for axis in (1, 2)}
for axis in (1, 2):
    by_input = transformed(20, "DFT (x, , axis)", f"<int64 axis = {{{axis}}}>")
    by_attribute = transformed(17, f"DFT <axis = {axis}> (x)")
    print(f"axis {axis}: numpy {by_axis[axis][0, 0]}, opset 17 {by_attribute[0, 0]}, opset 20 {by_input[0, 0]}")
    assert np.allclose(by_attribute, by_axis[axis], atol=1e-4)
    assert np.allclose(by_input, by_axis[1], atol=1e-4), "OpenVINO has changed"
PYTHON
venv/bin/python try.py
echo "OpenVINO still transforms axis 1"
