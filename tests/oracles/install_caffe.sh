#!/usr/bin/env bash
# Install real Caffe 1.0 (CPU) for the oracle tests into FOLDER, by default .caffe-venv at the root of the checkout.
# Usage: tests/oracles/install_caffe.sh [FOLDER]
# Needs Python 3.7, 3.8 or 3.9 on Linux x86-64, the only ones its wheels are built for. Runs again at no cost.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
folder=${1:-$root/.caffe-venv}
source "$root/tests/oracles/find_python.sh"
packages=(
    'kendryte-caffe==1.0.0.20210829'
    'numpy==1.26.4; python_version >= "3.9"'
    'numpy==1.24.4; python_version == "3.8"'
    'numpy==1.21.6; python_version == "3.7"'
    'protobuf==3.20.3'
    'scikit-image<0.20'
    'scipy<1.11'
    'h5py==3.10.0; python_version >= "3.8"'
    'h5py==3.8.0; python_version == "3.7"'
)

imports_caffe() {
    [ -x "$folder/bin/python" ] && "$folder/bin/python" -c 'import caffe' >/dev/null 2>&1
}

if imports_caffe; then
    echo "real Caffe is in $folder"
    exit 0
fi
if [ "$(uname -sm)" != "Linux x86_64" ]; then
    echo "SKIPPED: real Caffe: its wheels are for Linux x86_64, this is $(uname -sm)"
    exit 0
fi
python=$(find_python)
if [ -z "$python" ]; then
    echo "SKIPPED: real Caffe: no Python 3.7-3.9 found"
    exit 0
fi

echo "installing real Caffe with $python into $folder"
trap 'rm -rf "$folder"; echo "FAILED: real Caffe could not be installed" >&2' ERR INT TERM
"$python" -m venv --clear "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check "${packages[@]}"
"$folder/bin/python" -c 'import caffe; print("real Caffe", caffe.__version__)'
