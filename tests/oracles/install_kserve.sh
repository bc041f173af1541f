#!/usr/bin/env bash
# Install KServe's client for the tests of drn serve into .kserve-venv at the root of the checkout: it wants versions of
# numpy and of uvicorn that are not ours.
# Usage: tests/oracles/install_kserve.sh
# Needs Python 3.10-3.12. Runs again at no cost.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
folder=$root/.kserve-venv
python=${PYTHON:-python3}

if [ -x "$folder/bin/python" ] && "$folder/bin/python" -c 'import kserve' >/dev/null 2>&1; then
    echo "KServe's client is in $folder"
    exit 0
fi
if ! "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))'; then
    echo "SKIPPED: KServe's client is for Python 3.10 to 3.12, $python is another"
    exit 0
fi
"$python" -m venv --clear "$folder"
if ! "$folder/bin/python" -m pip install --quiet --disable-pip-version-check 'kserve==0.21.0'; then
    rm -rf "$folder"
    echo "SKIPPED: KServe's client could not be installed" >&2
fi
