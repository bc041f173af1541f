"""Read Caffe nets by another program of this Python: `python run_caffe_reader.py READER JOB.json`; no drn, only numpy.

A job lists nets: {"net": prototxt, "weights": caffemodel, "inputs": {name: [shape, file]}, "output": name, "to": file};
arrays are raw float32. Each net is read in a process of its own, for some readers abort. On stdout, as JSON, the
program's version, and for each net null or why it is refused.
"""

import contextlib
import importlib
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from caffe_readers import IMPORTS, READERS, version_of


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
    for module in IMPORTS.get(reader, ()):
        importlib.import_module(module)
    found = {"version": version_of(reader), "refused": [read(reader, net) for net in job]}
    sys.stdout.write("\n" + json.dumps(found))  # after what a reader may have said
