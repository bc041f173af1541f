#!/usr/bin/env bash
# In Caffe `transpose: true` of an InnerProduct changes what its xavier and msra fillers fill with.
#
# Versions: kendryte-caffe 1.0.0.20210829 (Caffe 1.0, CPU), numpy 1.24.4 or 1.26.4, Python 3.7-3.9, Linux x86-64.
# Expected: by caffe.proto, transpose is a flag of the product, which says how the weights are stored. A filler that goes
#   by the number of inputs (xavier: uniform within sqrt(3 / fan_in)) gives the same net either way.
# Seen: for 10 inputs and 1000 outputs the weights lie within .548 as they are, and within .055 transposed. The filler
#   takes all but the first axis of the blob for the inputs, which are the outputs where the matrix is transposed.
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
import numpy as np

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 10 } } }
layer { name: "p" type: "InnerProduct" bottom: "x" top: "p"
  inner_product_param { num_output: 1000 transpose: %s weight_filler { type: "%s" } } }
"""


def weights(transpose, filler):
    with open("net.prototxt", "w") as file:
        file.write(NET % (transpose, filler))
    return caffe.Net("net.prototxt", caffe.TRAIN).params["p"][0].data.copy()


plain, transposed = weights("false", "xavier"), weights("true", "xavier")
print("RESULT xavier %s: largest %.3f, sqrt(3 / 10) is %.3f" % (plain.shape, abs(plain).max(), np.sqrt(3 / 10)))
print("RESULT xavier %s: largest %.3f, sqrt(3 / 1000) is %.3f" % (transposed.shape, abs(transposed).max(), np.sqrt(3 / 1000)))
assert 0.99 < abs(plain).max() / np.sqrt(3 / 10) <= 1, "Caffe has changed: as they are"
assert 0.99 < abs(transposed).max() / np.sqrt(3 / 1000) <= 1, "Caffe has changed: transposed"
plain, transposed = weights("false", "msra"), weights("true", "msra")
print("RESULT msra: deviation %.3f, transposed %.3f" % (plain.std(), transposed.std()))
assert 9 < plain.std() / transposed.std() < 11, "Caffe has changed: msra"
PYTHON
venv/bin/python try.py > log 2>&1 || { cat log; exit 1; }
grep RESULT log
echo "Caffe still fills a transposed weight by the number of outputs"
