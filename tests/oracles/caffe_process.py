"""Real Caffe as an oracle: pycaffe in a process of its own, started once and again whenever Caffe aborts it."""

import json
import selectors
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float32]
Place = tuple[str, int]  # (layer name, blob index); a shared parameter appears at each of its places

SERVER = Path(__file__).with_name("caffe_server.py")


class CaffeError(Exception):
    """Caffe refused: its message is the tail of what it wrote on stderr, or a Python traceback."""


@dataclass(frozen=True)
class Shapes:
    """The shapes of a net's blobs by name, and of its parameters by place."""

    blobs: dict[str, tuple[int, ...]]
    parameters: dict[Place, tuple[int, ...]]


@dataclass(frozen=True)
class Trained:
    """What some iterations of a solver left: the loss of each, the weights by place, and Caffe's own snapshot files."""

    losses: list[float]
    weights: dict[Place, Array]
    iteration: int
    caffemodel: Path
    solverstate: Path


class Caffe:
    """A client of real Caffe 1.0.

    Files a prototxt names (HDF5 lists, the solver's `net`) are found relative to `folder`, by default the folder of the
    prototxt.

    >>> with Caffe(Path("/path/to/python3.9")) as caffe:
    ...     caffe.loads(deploy).blobs["probability"]
    ...     caffe.forward(deploy, weights, {"page": np.array([[0, 3, 7]])}, ["probability"])["probability"]
    ...     caffe.train(solver, iterations=10, weights=weights).losses
    """

    def __init__(self, python: Path, timeout: float = 120) -> None:
        """Remember the Python that has Caffe; the process starts at the first request. `timeout`: seconds for each."""
        self._python = python
        self._timeout = timeout
        self._process: subprocess.Popen[str] | None = None
        self._scratch = tempfile.TemporaryDirectory(prefix="drn-caffe-")
        self._log = Path(self._scratch.name, "stderr.txt")
        self._snapshots = 0

    def __enter__(self) -> "Caffe":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process and remove the snapshots that `train` left."""
        self._stop()
        self._scratch.cleanup()

    def loads(
        self, prototxt: Path, weights: Path | None = None, phase: str = "TEST", folder: Path | None = None
    ) -> Shapes:
        """Build a net, copy `weights` (a caffemodel) into it, return its shapes; CaffeError where Caffe refuses."""
        answer = self._ask(folder or prototxt.parent, "loads", prototxt=prototxt, weights=weights, phase=phase)
        blobs = {name: tuple(shape) for name, shape in answer["blobs"].items()}
        return Shapes(blobs, {_place(name): tuple(shape) for name, shape in answer["parameters"].items()})

    def forward(
        self,
        prototxt: Path,
        weights: Path | None = None,
        blobs: Mapping[str, ArrayLike] | None = None,
        outputs: Sequence[str] = (),
        phase: str = "TEST",
        folder: Path | None = None,
    ) -> dict[str, Array]:
        """Fill the input `blobs` (their shapes reshape the net), run forward, and return the blobs named `outputs`."""
        return self._run(prototxt, weights, blobs, outputs, phase, folder, backward=False)[0]

    def backward(
        self,
        prototxt: Path,
        weights: Path | None = None,
        blobs: Mapping[str, ArrayLike] | None = None,
        outputs: Sequence[str] = (),
        phase: str = "TRAIN",
        folder: Path | None = None,
    ) -> tuple[dict[str, Array], dict[Place, Array]]:
        """Run forward and backward from the loss: return `outputs`, and the gradient of each parameter by place."""
        return self._run(prototxt, weights, blobs, outputs, phase, folder, backward=True)

    def train(
        self,
        solver: Path,
        iterations: int,
        weights: Path | None = None,
        solverstate: Path | None = None,
        folder: Path | None = None,
    ) -> Trained:
        """Train from `weights`, from a `solverstate` or afresh for some iterations; the solver's own snapshots are off.

        A loss is the weighted sum of the net's losses in the last forward pass of the iteration, before its update.
        """
        self._snapshots += 1
        prefix = Path(self._scratch.name, f"train{self._snapshots}")
        results = self._file("results.npz")
        answer = self._ask(
            folder or solver.parent,
            "train",
            solver=solver,
            weights=weights,
            state=solverstate,
            iterations=iterations,
            prefix=prefix,
            results=results,
        )
        with np.load(results) as arrays:
            learned = {_place(name): arrays[name] for name in arrays.files}
        written = f"{prefix}_iter_{answer['iteration']}"
        return Trained(
            answer["losses"],
            learned,
            answer["iteration"],
            Path(f"{written}.caffemodel"),
            Path(f"{written}.solverstate"),
        )

    def script(self, code: str, *arguments: object) -> str:
        """Run Python `code` in a fresh process that can `import caffe`, and return its stdout."""
        command = [str(self._python), "-c", code, *map(str, arguments)]
        run = subprocess.run(command, capture_output=True, text=True, timeout=self._timeout, check=False)
        if run.returncode:
            raise CaffeError(run.stderr[-4000:])
        return run.stdout

    def _run(
        self,
        prototxt: Path,
        weights: Path | None,
        blobs: Mapping[str, ArrayLike] | None,
        outputs: Sequence[str],
        phase: str,
        folder: Path | None,
        backward: bool,
    ) -> tuple[dict[str, Array], dict[Place, Array]]:
        inputs, results = self._file("inputs.npz"), self._file("results.npz")
        given: dict[str, Any] = {name: np.asarray(values, np.float32) for name, values in (blobs or {}).items()}
        np.savez(inputs, **given)
        self._ask(
            folder or prototxt.parent,
            "run",
            prototxt=prototxt,
            weights=weights,
            phase=phase,
            inputs=inputs,
            outputs=list(outputs),
            backward=backward,
            results=results,
        )
        with np.load(results) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        return (
            {name: found[f"output/{name}"] for name in outputs},
            {_place(name[9:]): values for name, values in found.items() if name.startswith("gradient/")},
        )

    def _file(self, name: str) -> Path:
        return Path(self._scratch.name, name)

    def _ask(self, folder: Path, operation: str, **request: Any) -> dict[str, Any]:
        """Send one request and wait for its answer."""
        absolute = {name: str(value.resolve()) if isinstance(value, Path) else value for name, value in request.items()}
        process = self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        line = json.dumps({"operation": operation, "folder": str(folder.resolve()), **absolute})
        seen = self._log.stat().st_size
        reason, said = "Caffe aborted", ""
        try:
            process.stdin.write(line + "\n")
            process.stdin.flush()
            if self._answers(process):
                said = process.stdout.readline()  # "" at the end of the stream: the process is gone
            else:
                reason = f"no answer in {self._timeout:g} s"
        except BrokenPipeError:
            pass
        if not said:
            self._stop()
            tail = self._log.read_bytes()[seen:].decode(errors="replace")[-4000:]
            raise CaffeError(f"{operation}: {reason}\n{tail}")
        answer: dict[str, Any] = json.loads(said)
        if "error" in answer:
            raise CaffeError(answer["error"])
        return answer

    def _answers(self, process: subprocess.Popen[str]) -> bool:
        """Wait until the process writes, ends, or the time is over."""
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)  # type: ignore[arg-type]  # it is a pipe, as asked for
            return bool(selector.select(self._timeout))

    def _start(self) -> subprocess.Popen[str]:
        """Return the running process, a new one where there is none."""
        if self._process is None or self._process.poll() is not None:
            self._stop()
            with self._log.open("a") as log:
                self._process = subprocess.Popen(
                    [str(self._python), str(SERVER)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
        return self._process

    def _stop(self) -> None:
        """End the process, if any."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _place(name: str) -> Place:
    """Return ("layer", 0) of "layer/0"."""
    layer, index = name.rsplit("/", 1)
    return layer, int(index)
