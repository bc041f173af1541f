#!/usr/bin/env bash
# Try readers of Caffe's files that are too heavy for every run of the tests, and print the table of docs/readers.md:
# the portable nets and every construct in each, beside OpenCV and MNN. Exits with 1 where the page says otherwise.
# Usage: tests/oracles/heavy_readers.sh [FOLDER]
# Each is installed in a venv of its own in FOLDER, by default a temporary one that is removed at the end: 2.5 GB and
# some ten minutes. Needs the .venv of `make test`, real Caffe (install_caffe.sh), install_readers.sh, Python 3.11 as
# python3 and 3.10 as python3.10 (or PYTHON310), and for ncnn g++, git, protoc with its headers, and its repository.
# What cannot be installed is left out, and said so.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
folder=${1:-$(mktemp -d)}
[ $# -gt 0 ] || trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
readers=(opencv mnn)

# install NAME PYTHON PACKAGE...
install() {
    local name=$1 python=$2
    shift 2
    local variable=${name^^}
    if [ ! -e "$folder/$name/installed" ]; then
        "$python" -m venv --clear "$folder/$name" &&
            "$folder/$name/bin/python" -m pip install --quiet --disable-pip-version-check "$@" &&
            touch "$folder/$name/installed" || { echo "SKIPPED: $name could not be installed" >&2; return 0; }
    fi
    export "DRN_${variable//-/_}_PYTHON=$folder/$name/bin/python"
    readers+=("$name")
}

# The wheel of ncnn has its runtime; the converter is built of the sources of the same day.
caffe2ncnn() {
    [ -x "$folder/ncnn/caffe2ncnn" ] && return
    git clone --quiet --depth 1 --branch 20261020 https://github.com/Tencent/ncnn "$folder/ncnn-source" &&
        cd "$folder/ncnn-source/tools/caffe" && protoc --cpp_out=. caffe.proto &&
        g++ -O1 -o "$folder/ncnn/caffe2ncnn" caffe2ncnn.cpp caffe.pb.cc -lprotobuf
}

install ncnn python3 'ncnn==1.0.20261020' 'numpy==2.2.6'
if ! (caffe2ncnn); then
    echo "SKIPPED: ncnn: its caffe2ncnn could not be built" >&2
    readers=("${readers[@]/#ncnn/}")
fi
install openvino-2023 python3 'openvino-dev[caffe]==2023.3.0'
install x2paddle python3 'x2paddle==1.6.0' 'paddlepaddle==2.6.2' 'protobuf==3.20.3' six sympy requests \
    'opencv-python-headless==4.12.0.88'
# Of all that it names, its reader of Caffe needs these.
install tpu-mlir "${PYTHON310:-python3.10}" --no-deps 'tpu-mlir==1.30.2' 'numpy==1.24.3' 'protobuf==3.20.3' \
    'scipy==1.11.1' 'scikit-image==0.21.0' 'Pillow==10.0.0' 'opencv-python-headless==4.8.0.74' 'pandas==2.0.3' \
    tqdm six filelock psutil networkx imageio tifffile PyWavelets packaging lazy_loader python-dateutil pytz tzdata \
    'setuptools<81'
install caffe-onnx python3 'caffe-onnx==0.1.2' 'onnx==1.17.0' 'onnxruntime==1.26.0'

cd "$root"
# shellcheck disable=SC2086 - a reader that was left out is empty
.venv/bin/python tests/oracles/heavy_readers.py ${readers[*]}
