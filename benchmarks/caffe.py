"""Training throughput of drn beside real Caffe: the same nets, weights and HDF5 file, by turns, in one run.

    python benchmarks/caffe.py --rounds 5 --seconds 10

Real Caffe runs under the Python that DRN_CAFFE_PYTHON names (tests/oracles/install_caffe.sh installs one). Snapshots,
test passes and building the nets are left out on both sides. drn runs on as many threads as Caffe's BLAS is given;
Caffe does all but its matrix products on one.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

from generator.spec.schema import Spec
from generator.train.loop import train

ROOT = Path(__file__).resolve().parents[1]
NEVER = 10**9
# Updates before the first round, and how far the losses of the batches after it and after the last round may differ,
# relatively. Thousands of updates on, float32 has sent some ReLU of one net another way than the other's.
WARM = 100
EARLY, LATE = 1e-4, 2e-2

NETS = {
    "M 20k, N 8k, widths 128x2, n 6, B 256": {
        "pages": 20_000,
        "items": 8_000,
        "rnn": {"window": 6, "widths": [128, 128]},
        "solver": {"batch_size": 256},
    },
    "M 2k, N 500, widths 64x2, n 4, B 64": {
        "pages": 2_000,
        "items": 500,
        "rnn": {"window": 4, "widths": [64, 64]},
        "solver": {"batch_size": 64},
    },
}

# Under Caffe's Python: steps as asked on stdin, and answers with the seconds they took and the last loss.
CAFFE = """
import json, os, sys, time
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
import caffe
caffe.set_mode_cpu()
solver = caffe.get_solver("solver.prototxt")
solver.net.copy_from(sys.argv[1])
for line in sys.stdin:
    start = time.perf_counter()
    solver.step(int(line))
    seconds = time.perf_counter() - start
    answers.write(json.dumps([seconds, float(solver.net.blobs["loss"].data)]) + "\\n")
    answers.flush()
"""


def make_spec(net: dict) -> Spec:
    """Return the spec of a net: the paper's RNN with the loss at the last state, trained by momentum SGD."""
    solver = {"base_lr": 0.005, "clip_gradients": 1.0, "max_iter": NEVER, "display": NEVER}
    solver |= {"snapshot": NEVER, "test_interval": NEVER} | net["solver"]
    return Spec.model_validate({"name": "bench", "net": "rnn", **net, "solver": solver})


def write_data(folder: Path, spec: Spec, rows: int = 20_000) -> Path:
    """Write a data folder of synthetic sessions: pages by Zipf's law, the label by the newest page."""
    rng = np.random.default_rng(1)
    rank = 1 / np.arange(1, spec.pages + 1)
    page = rng.choice(np.arange(1, spec.pages + 1), (rows, spec.window), p=rank / rank.sum())
    page[np.arange(spec.window) < rng.integers(0, spec.window, rows)[:, None]] = 0
    folder.mkdir()
    with h5py.File(folder / "train.h5", "w") as file:
        file["page"] = page.astype(np.int32)
        file["label"] = (page[:, -1] % spec.items + 1).astype(np.int32)
        file["rows/session"] = np.arange(rows, dtype=np.int32)
        file["rows/position"] = np.full(rows, spec.window, np.int32)
        file["rows/unknown"] = np.zeros(rows, np.uint8)
    shutil.copy(folder / "train.h5", folder / "test.h5")  # Caffe opens it, and no more
    for kind, size in (("pages", spec.pages), ("items", spec.items)):
        (folder / f"{kind}.txt").write_text("".join(f"{number}\n" for number in range(1, size + 1)))
    return folder


class Caffe:
    """Real Caffe, training in a run folder of drn from its first snapshot."""

    def __init__(self, python: str, run: Path, threads: int) -> None:
        self._process = subprocess.Popen(
            [python, "-c", CAFFE, "snapshots/bench_iter_0.caffemodel"],
            cwd=run,
            env={**os.environ, "GLOG_minloglevel": "2", "OPENBLAS_NUM_THREADS": str(threads)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def step(self, iterations: int) -> tuple[float, float]:
        """Make some iterations; return the seconds they took and the loss of the last."""
        self._process.stdin.write(f"{iterations}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            sys.exit("real Caffe ended; its message is above")
        return tuple(json.loads(line))

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait()


class Drn:
    """drn, training in a run folder, each turn resumed from where the last one ended."""

    def __init__(self, spec: Spec, data: Path, run: Path, threads: int) -> None:
        self._spec, self._data, self._run, self._threads, self._done = spec, data, run, threads, 0

    def step(self, iterations: int) -> tuple[float, float]:
        """Make some iterations; return the seconds they took and their mean loss."""
        self._done += iterations
        result = train(
            self._spec, self._data, self._run, order="file", threads=self._threads, resume=True, until=self._done
        )
        return iterations * self._spec.solver.batch_size / result.samples_per_second, result.loss


def same_loss(ours: Drn, caffe: Caffe, tolerance: float) -> None:
    """Have both make one iteration, and assert that they have the same loss on it."""
    loss, theirs = ours.step(1)[1], caffe.step(1)[1]
    print(f"    loss: drn {loss:.6f}, Caffe {theirs:.6f}", flush=True)
    assert abs(loss - theirs) <= tolerance * theirs, "drn and Caffe do not train the same net"


def measure(python: str, net: dict, rounds: int, seconds: float, threads: int) -> tuple[float, float]:
    """Return the median samples a second of drn and of Caffe, after as many rounds by turns."""
    spec = make_spec(net)
    with tempfile.TemporaryDirectory() as name:
        data, run = write_data(Path(name, "data"), spec), Path(name, "run")
        train(spec, data, run, order="file", threads=threads, until=0)
        ours, caffe = Drn(spec, data, run, threads), Caffe(python, run, threads)
        ours.step(WARM)
        iterations = max(WARM, round(seconds * WARM / caffe.step(WARM)[0]))
        same_loss(ours, caffe, EARLY)
        turns = [(ours.step(iterations)[0], caffe.step(iterations)[0]) for _ in range(rounds)]
        same_loss(ours, caffe, LATE)
        caffe.close()
    samples = iterations * spec.solver.batch_size
    return samples / statistics.median(t[0] for t in turns), samples / statistics.median(t[1] for t in turns)


def main() -> None:
    """Measure every net and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side; the median counts")
    parser.add_argument("--seconds", type=float, default=10, help="about how long a turn of Caffe takes")
    parser.add_argument("--threads", type=int, default=2, help="of onnxruntime and of Caffe's BLAS")
    options = parser.parse_args()
    python = os.environ.get("DRN_CAFFE_PYTHON", str(ROOT / ".caffe-venv" / "bin" / "python"))
    if shutil.which(python) is None or subprocess.run([python, "-c", "import caffe"], check=False).returncode:
        sys.exit(f"{python} cannot import caffe: run tests/oracles/install_caffe.sh, or set DRN_CAFFE_PYTHON")
    lines = []
    for name, net in NETS.items():
        print(f"{name}:", flush=True)
        ours, caffe = measure(python, net, options.rounds, options.seconds, options.threads)
        lines.append(f"| {name} | {ours:,.0f} | {caffe:,.0f} | {ours / caffe:.1f} |")
    print(
        f"\nMedians of {options.rounds} turns of about {options.seconds:g} s of Caffe, {options.threads} threads each\n"
    )
    print("| net | drn, samples/s | real Caffe, samples/s | ratio |\n|---|---:|---:|---:|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
