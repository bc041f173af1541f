#!/usr/bin/env bash
# Run the core of the tests with every dependency at its published floor, in .floors-venv at the root of the checkout:
# specs and what is generated of them, Caffe's files, graphs and their rewrites, logs to data folders, trainings, what is
# exported, asked, evaluated and inspected; three minutes of a processor. What compares with a peer, serves or searches is
# left out, int8, which wants a newer onnxruntime, and the bytes of HDF5 files, in which old versions of HDF5 write the
# time. The whole suite runs at the newest versions that the ranges allow.
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
"$python" tests/packaging/floors.py data tune eval >.floors-venv/requirements.txt
.floors-venv/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: \
    -r .floors-venv/requirements.txt 'pytest>=8' 'hypothesis>=6' 'jsonschema>=4'
PYTHONPATH=$PWD .floors-venv/bin/python -m pytest -q -p no:cacheprovider \
    tests/spec tests/caffe tests/codegen tests/golden tests/data tests/model tests/inspect tests/evaluation \
    tests/onnxgraph/test_graph_editor.py tests/onnxgraph/test_initialise.py tests/onnxgraph/test_rewrites.py \
    tests/mixture tests/export/test_export_caffe.py tests/tuning/test_plan.py \
    tests/training/test_run_folder.py tests/training/test_large.py tests/training/test_mixing.py \
    --ignore=tests/spec/test_spec_reference.py --ignore=tests/codegen/test_templates.py \
    --ignore=tests/data/log/test_sources.py --ignore=tests/mixture/test_mixture_fit.py \
    --deselect=tests/training/test_mixing.py::test_a_resumed_run_has_the_same_mixture_to_the_bit
