#!/usr/bin/env bash
# Caffe's SoftmaxWithLoss reports at most 87.34, however wrong the net is.
#
# Versions: kendryte-caffe 1.0.0.20210829 (Caffe 1.0, CPU), numpy 1.24.4 or 1.26.4, Python 3.7-3.9, Linux x86-64.
# Expected: the multinomial logistic loss that the layer's header names: of the scores (z, 0) with label 1 it is
#   log(1 + exp(z)), which is z for a large z, 1000 of 1000.
# Seen: 80 of 80, and 87.33655, -log of the smallest normal float32, of 100, 200 and 1000: the logarithm is taken of the
#   probability, which is bounded below. The gradient is right. So two nets that are far off look alike, and a mean over
#   rows that contain such ones is too small.
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

with open("net.prototxt", "w") as file:
    file.write("""
force_backward: true
layer { name: "z" type: "Input" top: "z" input_param { shape { dim: 1 dim: 2 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 1 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "z" bottom: "label" top: "loss" }
""")
net = caffe.Net("net.prototxt", caffe.TRAIN)
bound = -np.log(np.finfo(np.float32).tiny)
for score in (50, 80, 100, 200, 1000):
    net.blobs["z"].data[...] = [[score, 0]]
    net.blobs["label"].data[...] = 1
    loss = float(net.forward()["loss"])
    net.backward()
    gradient = net.blobs["z"].diff[0].tolist()
    print("RESULT z %4d: log(1 + exp(z)) is %g, Caffe's loss %.5f, its gradient %s" % (score, np.logaddexp(0, score), loss, gradient))
    assert abs(loss - min(score, bound)) < 1e-3, "Caffe has changed: the loss"
    assert gradient == [1, -1], "Caffe has changed: the gradient"
PYTHON
venv/bin/python try.py > log 2>&1 || { cat log; exit 1; }
grep RESULT log
echo "Caffe's softmax loss still ends at 87.34"
