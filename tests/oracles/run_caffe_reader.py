"""Read Caffe nets by another program of this Python: `python run_caffe_reader.py READER JOB.json`; no drn, only numpy.

A job lists nets: {"net": prototxt, "weights": caffemodel, "inputs": {name: [shape, file]}, "output": name, "to": file};
arrays are raw float32. Each net is read in a process of its own, for some readers abort. On stdout, as JSON, the
program's version, and for each net null or why it is refused.
"""

import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np


def opencv(net, weights, inputs, output):
    import cv2

    read = cv2.dnn.readNetFromCaffe(net, weights)
    for name, array in inputs.items():
        read.setInput(array, name)
    return read.forward(output)


def mnn(net, weights, inputs, output):
    import _tools
    import MNN

    file = f"{net}.mnn"
    Path(file).unlink(missing_ok=True)
    arguments = ["-f", "CAFFE", "--modelFile", weights, "--prototxt", net, "--MNNModel", file, "--bizCode", "drn"]
    _tools.mnnconvert(["", *arguments])
    interpreter = MNN.Interpreter(file)
    session = interpreter.createSession({"backend": "CPU", "numThread": 1, "precision": "high"})
    for name, tensor in interpreter.getSessionInputAll(session).items():
        given = np.ascontiguousarray(inputs[name])
        shape = tuple(given.shape)
        kind, order = MNN.Halide_Type_Float, MNN.Tensor_DimensionType_Caffe
        tensor.copyFrom(MNN.Tensor(shape, kind, given, order))
    interpreter.runSession(session)
    found = interpreter.getSessionOutput(session, output)
    whole = MNN.Tensor(found.getShape(), kind, np.zeros(found.getShape(), np.float32), order)
    found.copyToHostTensor(whole)
    return np.array(whole.getData(), np.float32).reshape(found.getShape())


def version(reader):
    if reader == "opencv":
        import cv2

        return cv2.__version__
    import MNN

    return MNN.version()


READERS = {"opencv": opencv, "mnn": mnn}


def read(reader, net):
    """Read one net in a child; return None, or why it is refused."""
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if not child:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            status = 1
            with contextlib.suppress(BaseException):
                given = net["inputs"].items()
                inputs = {name: np.fromfile(file, np.float32).reshape(shape) for name, (shape, file) in given}
                try:
                    found = READERS[reader](net["net"], net["weights"], inputs, net["output"])
                    np.ascontiguousarray(found, np.float32).tofile(net["to"])
                    status = 0
                except BaseException as error:
                    os.write(2, f"\n{type(error).__name__}: {error}".encode())
            os._exit(status)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) == 0:
            return None
        said.seek(0)
        return said.read().decode(errors="replace").strip()[-300:] or "it ended without a word"


if __name__ == "__main__":
    reader, job = sys.argv[1], json.loads(Path(sys.argv[2]).read_text())
    found = {"version": version(reader), "refused": [read(reader, net) for net in job]}
    sys.stdout.write("\n" + json.dumps(found))  # after what a reader may have said
