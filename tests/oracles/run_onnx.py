"""Run ONNX models in a runtime of this Python: `python run_onnx.py RUNTIME JOB.json`; no drn here, only numpy.

A job lists runs: {"model": file, "inputs": {name: [dtype, shape, file]}, "outputs": {name: [dtype, file]}}, the arrays
as raw bytes; each output is written to its file. The last line on stdout is the runtime's version.
"""

import json
import sys
from functools import cache
from pathlib import Path

import numpy as np


class Onnxruntime:
    def __init__(self):
        import onnxruntime

        self._module, self.version = onnxruntime, onnxruntime.__version__

    def run(self, model, inputs, outputs):
        return self._open(model).run(outputs, inputs)

    @cache  # noqa: B019 - one runtime a process
    def _open(self, model):
        return self._module.InferenceSession(model, providers=["CPUExecutionProvider"])


class OpenVINO:
    def __init__(self):
        import openvino

        self._core, self.version = openvino.Core(), openvino.__version__.split("-")[0]

    def run(self, model, inputs, outputs):
        found = self._open(model)(inputs)
        return [found[name] for name in outputs]

    @cache  # noqa: B019 - as above
    def _open(self, model):
        return self._core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


class MNN:
    def __init__(self):
        import _tools
        import MNN

        self._convert, self._module, self.version = _tools.mnnconvert, MNN, MNN.version()

    def run(self, model, inputs, outputs):
        found = self._open(model, tuple(inputs), tuple(outputs)).forward([self._tensor(a) for a in inputs.values()])
        return [np.array(value.read()) for value in found]

    @cache  # noqa: B019 - as above
    def _open(self, model, inputs, outputs):
        self._convert(["", "-f", "ONNX", "--modelFile", model, "--MNNModel", f"{model}.mnn", "--bizCode", "drn"])
        backend = self._module.expr.Backend.CPU
        return self._module.nn.load_module_from_file(f"{model}.mnn", list(inputs), list(outputs), backend=backend)

    def _tensor(self, array):
        expr, whole = self._module.expr, array.dtype == np.int64  # all whole numbers are of 32 bits in MNN
        given = array.astype(np.int32) if whole else array
        return expr.const(given, list(array.shape), expr.NCHW, expr.int if whole else expr.float)


if __name__ == "__main__":
    runtime = {"onnxruntime": Onnxruntime, "openvino": OpenVINO, "mnn": MNN}[sys.argv[1]]()
    for run in json.loads(Path(sys.argv[2]).read_text()):
        inputs = {name: np.fromfile(file, dtype).reshape(shape) for name, (dtype, shape, file) in run["inputs"].items()}
        for values, (dtype, file) in zip(
            runtime.run(run["model"], inputs, list(run["outputs"])), run["outputs"].values(), strict=True
        ):
            np.ascontiguousarray(values, dtype).tofile(file)
    sys.stdout.write(f"\n{runtime.version}\n")
