#!/usr/bin/env bash
# Run the core of the tests with every dependency at its published floor, in .floors-venv at the root of the checkout:
# logs to data folders, nets written, trained, exported and asked, what needs no other peer. The whole suite runs at
# the newest versions that the ranges allow.
# Usage: tests/packaging/floors.sh
# Needs Python 3.11. Runs again at little cost.
set -euo pipefail

cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
    echo "SKIPPED: the floors: not all of their wheels are for $("$python" -V)"
    exit 0
fi
[ -x .floors-venv/bin/python ] || "$python" -m venv .floors-venv
"$python" tests/packaging/floors.py data tune >.floors-venv/requirements.txt
.floors-venv/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: \
    -r .floors-venv/requirements.txt 'pytest>=8' 'hypothesis>=6' 'scipy>=1.11'
PYTHONPATH=$PWD .floors-venv/bin/python -m pytest -q -p no:cacheprovider \
    tests/model tests/caffe tests/data/test_build.py tests/training/test_run_folder.py tests/tuning/test_plan.py \
    tests/export/test_export_caffe.py
