"""drn's files read by other programs, each in a Python or Node of its own: see install_readers.sh."""

import json
import shutil
import subprocess
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from peers import peer_python

HERE = Path(__file__).parent
HOW = "run tests/oracles/install_readers.sh"
HEAVY = "run tests/oracles/heavy_readers.sh .heavy-readers"
FOLDERS = {"opencv": ".readers-venv", "mnn": ".readers-venv", "openvino": ".readers-venv", "floor": ".ort-floor-venv"}


def command(root: Path, program: str) -> list[str]:
    """How a program is started; the test is skipped, loudly, where it is not installed."""
    if program == "newest":
        return [sys.executable, str(HERE / "run_onnx.py"), "onnxruntime"]
    if program in ("onnxruntime-node", "onnxruntime-web"):
        modules, node = root / ".readers-node" / "node_modules", shutil.which("node")
        if node is None or not (modules / program).is_dir():
            warnings.warn(f"{program} is not here, so its tests are SKIPPED; {HOW}", stacklevel=1)
            pytest.skip(f"{program} is not here; {HOW}")
        return [node, str(HERE / "run_onnx.cjs"), str(modules), program]
    folder, how = (FOLDERS[program], HOW) if program in FOLDERS else (f".heavy-readers/{program}", HEAVY)
    python = peer_python(root, f"DRN_{program.upper().replace('-', '_')}_PYTHON", folder, program, how)
    return [str(python), str(HERE / "run_onnx.py"), "onnxruntime" if program == "floor" else program]


@dataclass(frozen=True)
class Answers:
    """What a program made of the runs of a job: its version, and the outputs of each run by name."""

    version: str
    outputs: list[dict[str, np.ndarray]]


def run_onnx(root: Path, program: str, runs: Sequence[tuple[Path, dict[str, np.ndarray]]], folder: Path) -> Answers:
    """Run ONNX models of drn, each a file and its input blobs, in a program."""
    start = command(root, program)
    kinds = {"probability": np.float32, "top_item": np.int64, "top_probability": np.float32}
    job = [
        {
            "model": str(model),
            "inputs": {name: [str(array.dtype), array.shape, put(array, folder)] for name, array in blobs.items()},
            "outputs": {name: [np.dtype(kind).name, str(folder / f"{place}.{name}")] for name, kind in kinds.items()},
        }
        for place, (model, blobs) in enumerate(runs)
    ]
    said = started([*start, written(job, folder)])
    outputs = [
        {
            name: np.fromfile(folder / f"{place}.{name}", kind).reshape(len(next(iter(blobs.values()))), -1)
            for name, kind in kinds.items()
        }
        for place, (_, blobs) in enumerate(runs)
    ]
    return Answers(said.splitlines()[-1], outputs)


@dataclass(frozen=True)
class Net:
    """A Caffe net to be read: its files, the inputs of one row, the blob asked for."""

    prototxt: Path
    caffemodel: Path
    inputs: dict[str, np.ndarray]
    output: str


def read_caffe(root: Path, reader: str, nets: Sequence[Net], folder: Path) -> tuple[str, list[np.ndarray | str]]:
    """Return the version of a reader, and for each net its output, flat, or why it is refused."""
    python = command(root, reader)[0]
    job = [
        {
            "net": str(net.prototxt),
            "weights": str(net.caffemodel),
            "inputs": {name: [array.shape, put(array, folder)] for name, array in net.inputs.items()},
            "output": net.output,
            "to": str(folder / f"{place}.output"),
        }
        for place, net in enumerate(nets)
    ]
    lines = started([python, str(HERE / "run_caffe_reader.py"), reader, written(job, folder)], 900).splitlines()
    said = json.loads(lines[-1])
    found = [
        np.fromfile(folder / f"{place}.output", np.float32) if why is None else why
        for place, why in enumerate(said["refused"])
    ]
    return said["version"], found


def started(arguments: list[str], seconds: float = 300) -> str:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=seconds)
    assert done.returncode == 0, f"{arguments}: {done.stderr[-3000:]}"
    return done.stdout


def put(array: np.ndarray, folder: Path) -> str:
    path = folder / f"{len(list(folder.glob('*.input')))}.input"
    np.ascontiguousarray(array).tofile(path)
    return str(path)


def written(job: Any, folder: Path) -> str:
    path = folder / "job.json"
    path.write_text(json.dumps(job))
    return str(path)
