#!/usr/bin/env bash
# Caffe's clip_gradients bounds the sum over iter_size batches, before it is divided by iter_size.
#
# Versions: kendryte-caffe 1.0.0.20210829 (Caffe 1.0, CPU), numpy 1.24.4 or 1.26.4, Python 3.7-3.9, Linux x86-64.
# Expected: caffe.proto says that gradients are accumulated over iter_size x batch_size instances: 2 batches of 2 are a
#   batch of 4. So they are, without clip_gradients.
# Seen: with clip_gradients: 1 and a gradient of norm 10 the first step is 1 at iter_size 1, .5 at 2, .25 at 4: the sum
#   is scaled to norm 1 and then divided. So clip_gradients is to grow with iter_size for the step to stay the same.
# Exit 0 while Caffe behaves so, 1 when it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3.9}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'kendryte-caffe==1.0.0.20210829' 'protobuf==3.20.3' \
    'numpy==1.26.4; python_version >= "3.9"' 'numpy==1.24.4; python_version == "3.8"' 'scikit-image<0.20' 'scipy<1.11' 'h5py<3.11'

cat > try.py <<'PYTHON'
import os

os.environ["GLOG_minloglevel"] = "2"
import caffe

NET = """
layer { name: "data" type: "DummyData" top: "x" top: "y" dummy_data_param {
  shape { dim: %(batch)d dim: 1 } shape { dim: %(batch)d dim: 1 }
  data_filler { type: "constant" value: 1 } data_filler { type: "constant" value: 10 } } }
layer { name: "p" type: "InnerProduct" bottom: "x" top: "p"
  inner_product_param { num_output: 1 bias_term: false weight_filler { type: "constant" value: 0 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "p" bottom: "y" top: "loss" }
"""
SOLVER = 'net: "net.prototxt" base_lr: 1 lr_policy: "fixed" momentum: 0 iter_size: %d snapshot_prefix: "n" solver_mode: CPU %s'


def step(iter_size, clip):
    """Return the first step of a weight whose gradient is -10, from 4 rows in iter_size batches."""
    with open("net.prototxt", "w") as file:
        file.write(NET % {"batch": 4 // iter_size})
    with open("solver.prototxt", "w") as file:
        file.write(SOLVER % (iter_size, clip))
    solver = caffe.get_solver("solver.prototxt")
    solver.step(1)
    return float(solver.net.params["p"][0].data[0, 0])


free = [step(size, "") for size in (1, 2, 4)]
clipped = [step(size, "clip_gradients: 1") for size in (1, 2, 4)]
print("RESULT iter_size 1, 2, 4:                   ", free)
print("RESULT iter_size 1, 2, 4, clip_gradients 1: ", clipped)
assert free == [10, 10, 10], "Caffe has changed: iter_size"
assert clipped == [1, 0.5, 0.25], "Caffe has changed: clip_gradients"
PYTHON
venv/bin/python try.py > log 2>&1 || { cat log; exit 1; }
grep RESULT log
echo "Caffe still clips the sum of iter_size gradients"
