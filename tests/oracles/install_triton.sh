#!/usr/bin/env bash
# Install the Triton server that is in NVIDIA's wheel, for a CPU and with its Python backend alone, into .triton-venv at
# the root of the checkout.
# Usage: tests/oracles/install_triton.sh
# Needs Python 3.10-3.12 and the C library of Debian 12 or newer. Runs again at no cost.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
folder=$root/.triton-venv
python=${PYTHON:-python3}

if compgen -G "$folder/lib/python3*/site-packages/pytriton/tritonserver/bin/tritonserver" >/dev/null; then
    echo "Triton is in $folder"
    exit 0
fi
"$python" -m venv --clear "$folder"
# Its Python backend reads arrays as numpy 1 has them.
if ! "$folder/bin/python" -m pip install --quiet --disable-pip-version-check 'onnxruntime==1.18.0' 'numpy<2' ||
    ! "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps 'nvidia-pytriton==0.5.14'; then
    rm -rf "$folder"
    echo "SKIPPED: Triton could not be installed" >&2
fi
