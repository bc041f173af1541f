#!/usr/bin/env bash
# Install other programs that read drn's files, for the oracle tests, each in a folder of its own at the root of the
# checkout: .readers-venv (OpenCV, MNN, OpenVINO), .ort-floor-venv (the oldest onnxruntime that drn allows), and
# .readers-node (onnxruntime for Node and for browsers, from npm).
# Usage: tests/oracles/install_readers.sh
# Needs Python 3.10-3.12 and npm. Runs again at no cost.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
python=${PYTHON:-python3}
cd "$root"

# venv FOLDER IMPORT PACKAGE...
venv() {
    local folder=$1 import=$2
    shift 2
    if [ -x "$folder/bin/python" ] && "$folder/bin/python" -c "import $import" >/dev/null 2>&1; then
        echo "$import: in $folder"
        return
    fi
    "$python" -m venv --clear "$folder"
    if ! "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: "$@"; then
        rm -rf "$folder"
        echo "SKIPPED: $import could not be installed" >&2
    fi
}

if ! "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))'; then
    echo "SKIPPED: readers of drn's files: their wheels are for Python 3.10 to 3.12, $python is another"
    exit 0
fi
venv .readers-venv "cv2, MNN, openvino" 'opencv-python-headless==4.12.0.88' 'MNN==3.6.1' 'openvino>=2026.4'
venv .ort-floor-venv onnxruntime 'onnxruntime==1.18.0' 'numpy<2'

if [ -d .readers-node/node_modules/onnxruntime-web ]; then
    echo "onnxruntime of npm: in .readers-node"
elif ! command -v npm >/dev/null; then
    echo "SKIPPED: onnxruntime of npm: there is no npm"
elif ! npm install --prefix .readers-node --ignore-scripts --no-audit --no-fund --silent \
    'onnxruntime-node@1.30.0' 'onnxruntime-web@1.30.0'; then
    rm -rf .readers-node
    echo "SKIPPED: onnxruntime of npm could not be installed" >&2
fi
