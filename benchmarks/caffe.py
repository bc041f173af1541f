"""Training throughput of drn beside real Caffe: the same nets, weights and HDF5 file, by turns, in one run.

    python benchmarks/caffe.py --rounds 5 --seconds 10

Real Caffe runs under the Python that DRN_CAFFE_PYTHON names (tests/oracles/install_caffe.sh installs one). Snapshots,
test passes and building the nets are left out on both sides. drn runs on as many threads as Caffe's BLAS is given; Caffe
does all but its matrix products on one.
"""

import argparse
import json
import os
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
# The losses of both on the batch after the last round: after thousands of float32 updates they agree no further.
TOLERANCE = 1e-3

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
    solver = {"base_lr": 0.02, "clip_gradients": 5.0, "max_iter": NEVER, "display": NEVER}
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
    for kind, size in (("pages", spec.pages), ("items", spec.items)):
        (folder / f"{kind}.txt").write_text("".join(f"{number}\n" for number in range(1, size + 1)))
    return folder


class Caffe:
    """Real Caffe, training in a run folder of drn from its first snapshot."""

    def __init__(self, python: str, run: Path, threads: int) -> None:
        solver = (run / "solver.prototxt").read_text()
        # There is no test split, and Caffe would insist on one.
        lines = [line for line in solver.splitlines() if not line.startswith(("test_", "display"))]
        (run / "solver.prototxt").write_text("\n".join(lines) + "\n")
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


def measure(python: str, net: dict, rounds: int, seconds: float, threads: int) -> tuple[float, float]:
    """Return the median samples a second of drn and of Caffe, after as many rounds by turns."""
    spec = make_spec(net)
    size = spec.solver.batch_size
    with tempfile.TemporaryDirectory() as name:
        data, run, theirs = write_data(Path(name, "data"), spec), Path(name, "run"), Path(name, "caffe")
        for folder in (run, theirs):
            train(spec, data, folder, order="file", threads=threads, until=0)
        caffe = Caffe(python, theirs, threads)
        warm = caffe.step(5)[0] / 5
        iterations = max(20, round(seconds / warm))
        done = 5
        train(spec, data, run, order="file", threads=threads, resume=True, until=done)
        ours_speed, caffe_speed = [], []
        for _ in range(rounds):
            done += iterations
            result = train(spec, data, run, order="file", threads=threads, resume=True, until=done)
            ours_speed.append(result.samples_per_second)
            caffe_speed.append(iterations * size / caffe.step(iterations)[0])
        loss = train(spec, data, run, order="file", threads=threads, resume=True, until=done + 1).loss
        caffe_loss = caffe.step(1)[1]
        caffe.close()
    print(f"  {done + 1} iterations each; loss of the last: drn {loss:.5f}, Caffe {caffe_loss:.5f}")
    assert abs(loss - caffe_loss) <= TOLERANCE * caffe_loss, "drn and Caffe did not train the same net"
    return statistics.median(ours_speed), statistics.median(caffe_speed)


def main() -> None:
    """Measure every net and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side; the median counts")
    parser.add_argument("--seconds", type=float, default=10, help="about how long a turn of Caffe takes")
    parser.add_argument("--threads", type=int, default=2, help="of onnxruntime and of Caffe's BLAS")
    options = parser.parse_args()
    python = os.environ.get("DRN_CAFFE_PYTHON", str(ROOT / ".caffe-venv" / "bin" / "python"))
    found = (
        subprocess.run([python, "-c", "import caffe"], capture_output=True, check=False)
        if Path(python).exists()
        else None
    )
    if found is None or found.returncode:
        sys.exit(f"{python} cannot import caffe: run tests/oracles/install_caffe.sh, or set DRN_CAFFE_PYTHON")
    lines = []
    for name, net in NETS.items():
        print(name, flush=True)
        ours, caffe = measure(python, net, options.rounds, options.seconds, options.threads)
        lines.append(f"| {name} | {ours:,.0f} | {caffe:,.0f} | {ours / caffe:.1f} |")
    print(
        f"\nMedians of {options.rounds} turns of about {options.seconds:g} s of Caffe, {options.threads} threads each\n"
    )
    print("| net | drn, samples/s | real Caffe, samples/s | ratio |\n|---|---:|---:|---:|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
