"""Real Caffe beside drn: it trains the generated prototxt in a process of its own, as often as it is asked to.

It runs under the Python that DRN_CAFFE_PYTHON names, else the one that tests/oracles/install_caffe.sh installs. All but
its matrix products it does on one thread.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

__all__ = ["ABSENT", "Caffe", "caffe_python"]

ROOT = Path(__file__).resolve().parents[1]
ABSENT = "real Caffe is left out: run tests/oracles/install_caffe.sh, or name a Python that has it in DRN_CAFFE_PYTHON"

# Under Caffe's Python: a line on stdin says how many steps to make, and is answered by the last loss and the CPU
# seconds so far; "snapshot" writes one.
PROGRAM = """
import json, os, sys, time
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
import caffe
caffe.set_mode_cpu()
solver = caffe.get_solver("solver.prototxt")
solver.net.copy_from(sys.argv[1])
for line in sys.stdin:
    if line == "snapshot\\n":
        solver.snapshot()
    else:
        solver.step(int(line))
    answers.write(json.dumps([float(solver.net.blobs["loss"].data), time.process_time()]) + "\\n")
    answers.flush()
"""


def caffe_python() -> str | None:
    """Return the Python that has real Caffe, None if there is none."""
    python = os.environ.get("DRN_CAFFE_PYTHON", str(ROOT / ".caffe-venv" / "bin" / "python"))
    if shutil.which(python) is None:
        return None
    found = subprocess.run([python, "-c", "import caffe"], check=False, capture_output=True)
    return None if found.returncode else python


class Caffe:
    """Real Caffe, training in a run folder of drn from its first snapshot.

    Parameters
    ----------
    python
        The Python that has it.
    run
        The folder; it is at iteration 0.
    weights
        The .caffemodel to start from, relative to the folder.
    threads
        Of its BLAS.
    """

    def __init__(self, python: str, run: Path, weights: str, threads: int) -> None:
        self._process = subprocess.Popen(
            [python, "-c", PROGRAM, weights],
            cwd=run,
            env={**os.environ, "GLOG_minloglevel": "2", "OPENBLAS_NUM_THREADS": str(threads)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.cpu = 0.0

    def __enter__(self) -> "Caffe":
        return self

    def __exit__(self, *_: Any) -> None:
        """End the process."""
        self._process.communicate()

    def step(self, updates: int) -> float:
        """Make some updates; return the loss of the last."""
        return self._ask(str(updates))

    def snapshot(self) -> None:
        """Write the weights and the solver's state."""
        self._ask("snapshot")

    def _ask(self, line: str) -> float:
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit("real Caffe ended; its message is above")
        loss, self.cpu = json.loads(answer)
        return loss
