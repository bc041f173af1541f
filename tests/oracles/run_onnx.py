"""Run ONNX models in a runtime of this Python: `python run_onnx.py RUNTIME JOB.json`; no drn here, only numpy.

A job lists runs: {"model": file, "inputs": {name: [dtype, shape, file]}, "outputs": {name: [dtype, file]}}, the arrays
as raw bytes; each output is written to its file. It ends with the runtime's version on stdout.
"""

import json
import sys
from pathlib import Path

import numpy as np


def onnxruntime_runs(runs):
    import onnxruntime

    sessions = {}
    for model, inputs, names in runs:
        if model not in sessions:
            sessions[model] = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        yield dict(zip(names, sessions[model].run(names, inputs)))
    print(onnxruntime.__version__)


def openvino_runs(runs):
    import openvino

    core, compiled = openvino.Core(), {}
    for model, inputs, names in runs:
        if model not in compiled:
            compiled[model] = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        found = compiled[model](inputs)
        yield {name: found[name] for name in names}
    print(openvino.__version__.split("-")[0])


def mnn_runs(runs):
    import _tools
    import MNN

    opened = {}
    for model, inputs, names in runs:
        if model not in opened:
            file = f"{model}.mnn"
            _tools.mnnconvert(["", "-f", "ONNX", "--modelFile", model, "--MNNModel", file, "--bizCode", "drn"])
            net = MNN.nn.load_module_from_file(file, list(inputs), names, backend=MNN.expr.Backend.CPU)
            opened[model] = net
        given = []
        for name, array in inputs.items():
            # All whole numbers are of 32 bits in MNN.
            array = array.astype(np.int32) if array.dtype == np.int64 else array
            kind = MNN.expr.int if array.dtype == np.int32 else MNN.expr.float
            given.append(MNN.expr.const(array, list(array.shape), MNN.expr.NCHW, kind))
        found = opened[model].forward(given)
        yield {name: np.array(value.read()) for name, value in zip(names, found)}
    print(MNN.version())


RUNTIMES = {"onnxruntime": onnxruntime_runs, "openvino": openvino_runs, "mnn": mnn_runs}


def read(job):
    for run in job:
        inputs = {
            name: np.fromfile(file, dtype).reshape(shape) for name, (dtype, shape, file) in run["inputs"].items()
        }
        yield run["model"], inputs, list(run["outputs"])


if __name__ == "__main__":
    job = json.loads(Path(sys.argv[2]).read_text())
    for run, found in zip(job, RUNTIMES[sys.argv[1]](read(job))):
        for name, (dtype, file) in run["outputs"].items():
            np.ascontiguousarray(found[name], dtype).tofile(file)
