"""Runs pycaffe for `caffe_process`: one JSON request a line on stdin, one JSON answer a line on stdout.

Runs under the Python that has Caffe (3.7 to 3.9), so it keeps to that syntax. Arrays pass through .npz files. Caffe
aborts the process on a bad net; the client sees that and starts another.
"""

import json
import os
import sys
import traceback
from pathlib import Path

# Caffe and its C++ libraries may print: only answers go to the real stdout.
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
os.environ.setdefault("GLOG_minloglevel", "2")

import caffe  # noqa: E402
import numpy as np  # noqa: E402
from caffe.proto import caffe_pb2  # noqa: E402
from google.protobuf import text_format  # noqa: E402


def open_net(request):
    phase = caffe.TRAIN if request["phase"] == "TRAIN" else caffe.TEST
    net = caffe.Net(request["prototxt"], phase)
    if request["weights"]:
        net.copy_from(request["weights"])
    return net


def parameters(net, of="data"):
    """Blobs of layers by "layer/index"; shared ones appear under every layer."""
    return {
        f"{layer}/{index}": getattr(blob, of).copy()
        for layer, blobs in net.params.items()
        for index, blob in enumerate(blobs)
    }


def loads(request):
    net = open_net(request)
    return {
        "blobs": {name: list(blob.data.shape) for name, blob in net.blobs.items()},
        "parameters": {name: list(values.shape) for name, values in parameters(net).items()},
    }


def run(request):
    """Forward, and backward where asked: fills the inputs, writes the outputs and gradients."""
    net = open_net(request)
    with np.load(request["inputs"]) as inputs:
        for name in inputs.files:
            net.blobs[name].reshape(*inputs[name].shape)
        net.reshape()
        for name in inputs.files:
            net.blobs[name].data[...] = inputs[name]
    net.forward()
    results = {"output/" + name: net.blobs[name].data.copy() for name in request["outputs"]}
    if request["backward"]:
        net.backward()
        results.update(("gradient/" + name, values) for name, values in parameters(net, "diff").items())
    np.savez(request["results"], **results)
    return {}


def train(request):
    """Train by the solver's own rules for some iterations, snapshotting only at the end, under the client's prefix."""
    param = caffe_pb2.SolverParameter()
    text_format.Merge(Path(request["solver"]).read_text(), param)
    param.snapshot = 0
    param.snapshot_prefix = request["prefix"]
    copy = Path(request["prefix"] + ".solver.prototxt")
    copy.write_text(text_format.MessageToString(param))
    solver = caffe.get_solver(str(copy))
    if request["weights"]:
        solver.net.copy_from(request["weights"])
    if request["state"]:
        solver.restore(request["state"])
    losses = []
    for _ in range(request["iterations"]):
        solver.step(1)
        weights = solver.net.blob_loss_weights
        losses.append(
            sum(float(weights[name] * blob.data.sum()) for name, blob in solver.net.blobs.items() if weights[name])
        )
    solver.snapshot()
    np.savez(request["results"], **parameters(solver.net))
    return {"losses": losses, "iteration": solver.iter}


def main():
    operations = {"loads": loads, "run": run, "train": train}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            os.chdir(request["folder"])
            answer = operations[request["operation"]](request)
        except Exception:
            answer = {"error": traceback.format_exc()}
        ANSWERS.write(json.dumps(answer) + "\n")
        ANSWERS.flush()


if __name__ == "__main__":
    main()
