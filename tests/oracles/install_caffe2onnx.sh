#!/usr/bin/env bash
# Install caffe2onnx 2.0.1 for the oracle tests into FOLDER, by default .caffe2onnx-venv at the root of the checkout.
# Usage: tests/oracles/install_caffe2onnx.sh [FOLDER]
# It pins onnx 1.6.0, which has no wheel for a Python of today and does not build there; 1.9.0 serves it as well.
# Needs Python 3.7, 3.8 or 3.9, which onnx 1.9.0 has wheels for. Runs again at no cost.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
folder=${1:-$root/.caffe2onnx-venv}
source "$root/tests/oracles/find_python.sh"

imports_it() {
    [ -x "$folder/bin/python" ] && "$folder/bin/python" -c 'import caffe2onnx.src.caffe2onnx' >/dev/null 2>&1
}

if imports_it; then
    echo "caffe2onnx is in $folder"
    exit 0
fi
python=$(find_python)
if [ -z "$python" ]; then
    echo "SKIPPED: caffe2onnx: no Python 3.7-3.9 found"
    exit 0
fi

echo "installing caffe2onnx with $python into $folder"
trap 'rm -rf "$folder"; echo "FAILED: caffe2onnx could not be installed" >&2' ERR INT TERM
"$python" -m venv --clear "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: \
    'onnx==1.9.0' 'protobuf==3.20.3' 'numpy<1.24' wheel
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps 'caffe2onnx==2.0.1'
"$folder/bin/python" -c 'import caffe2onnx.src.caffe2onnx, onnx; print("caffe2onnx 2.0.1 on onnx", onnx.__version__)'
