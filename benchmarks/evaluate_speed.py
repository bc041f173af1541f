"""Full ranking of YooChoose's test part: `drn evaluate` beside a loop over its rows, and beside an epoch of training.

    python benchmarks/evaluate_speed.py --rounds 5

Both rank every item for every row of the test part, with the same model; the loop gives onnxruntime one row at a time
and sorts the scores, as scripts around a served model do. HR@20 and MRR@20 are asserted equal. The targets: 20 times
the speed of the loop, and a fifth of the time of an epoch. Then `drn evaluate`, its default baselines and all, in a
process of its own, on the test part as it is and many times over: its peak memory should stay.
Reads ../shared/data/yoochoose-100k.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from scale import run
from yoochoose import LOGS, TUNED, make_data

from generator.evaluation.evaluate import evaluate
from generator.evaluation.rows import SplitRows
from generator.model.model import Model
from generator.spec import load_spec
from generator.training.run.train import TrainOptions, train

K = 20
TIMES = (1, 8, 64)  # the test part over


class Side:
    """One side: the wall and the CPU seconds of its turns."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def turn(self, run: Callable[[], object]) -> object:
        """Make a turn and return what it returns."""
        wall, cpu = time.perf_counter(), time.process_time()
        result = run()
        self.wall.append(time.perf_counter() - wall)
        self.cpu.append(time.process_time() - cpu)
        return result


def whole(model: Model, data: Path, threads: int) -> tuple[float, float]:
    """Return HR@20 and MRR@20 as `drn evaluate` finds them, intervals and all."""
    metrics = evaluate({"model": model}, data, threads=threads).methods[0].metrics
    return metrics[f"HR@{K}"].value, metrics[f"MRR@{K}"].value


def loop(model: Model, data: Path) -> tuple[float, float]:
    """Return the same from one row after the other."""
    places = []
    with SplitRows(data, "test") as part:
        for batch in part.batches(512):
            inputs = batch.inputs(model.sizes)
            for row, label in enumerate(batch.label):
                scores = model.scores({name: array[row : row + 1] for name, array in inputs.items()})[0]
                best = np.argsort(-scores[1 : batch.items + 1], kind="stable")[:K] + 1
                place = np.flatnonzero(best == label)
                places.append(1 / (place[0] + 1) if place.size else 0.0)
    return float(np.count_nonzero(places) / len(places)), float(np.mean(places))


def repeated(data: Path, folder: Path, times: int) -> Path:
    """Write a copy of a data folder whose test part is there ``times`` over, as other sessions each time."""
    shutil.copytree(data, folder)
    with h5py.File(data / "test.h5") as source, h5py.File(folder / "test.h5", "w") as target:
        copies, sessions = np.arange(times), len(source["sessions/start"])
        for name in (f"{group}{inner}" for group in ("", "rows/", "sessions/") for inner in source[group or "/"]):
            if isinstance(source[name], h5py.Group):
                continue
            values = source[name][:]
            if name.endswith("offset"):  # of each copy the values begin where those of the one before end
                starts = (copies[:, None] * values[-1] + values[:-1]).reshape(-1)
                target[name] = np.append(starts, times * values[-1])
            else:
                target[name] = np.concatenate([values] * times)
        target["rows/session"][:] += np.repeat(copies, len(source["rows/session"])) * sessions
    return folder


def grown(trained: Path, data: Path, folder: Path) -> None:
    """Print seconds and peak memory of the command on more and more rows."""
    print("\n| test rows | drn evaluate, s | peak, MiB |\n|---:|---:|---:|")
    for times in TIMES:
        more = repeated(data, folder / f"times{times}", times)
        spent = run("-m", "generator", "evaluate", str(trained), "--data", str(more), "--no-plot", "--format", "json")
        with SplitRows(more, "test") as part:
            print(f"| {len(part):,} | {spent.seconds:.2f} | {spent.peak:.0f} |", flush=True)
        shutil.rmtree(more)


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side; the median counts")
    parser.add_argument("--threads", type=int, default=2, help="of onnxruntime, in training and in the evaluation")
    options = parser.parse_args()
    if not LOGS.is_dir():
        sys.exit(f"YooChoose is not here: {LOGS} is absent")
    never = ["solver.snapshot=1000000", "solver.test_interval=1000000"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, spec = make_data(folder / "data"), load_spec(TUNED, never)
        with SplitRows(data, "train") as part:
            updates = -(-len(part) // spec.solver.batch_size)
        epoch, ours, theirs = Side(), Side(), Side()
        for number in range(options.rounds):
            trained = folder / f"run{number}"
            epoch.turn(
                lambda trained=trained: train(spec, data, trained, TrainOptions(threads=options.threads, until=updates))
            )
            fresh = [Model(trained) for _ in range(2)]  # each opens its graph for scores in its turn
            found = ours.turn(lambda model=fresh[0]: whole(model, data, options.threads))
            expected = theirs.turn(lambda model=fresh[1]: loop(model, data))
            np.testing.assert_allclose(found, expected, atol=1e-4)
        compare(epoch, ours, theirs)
        grown(trained, data, folder)


def compare(epoch: Side, ours: Side, theirs: Side) -> None:
    """Print the three sides, and ours beside the others."""
    print("| what | median, s | best, s | CPU, best, s |\n|---|---:|---:|---:|")
    for what, side in (("an epoch", epoch), ("drn evaluate", ours), ("loop", theirs)):
        print(f"| {what} | {statistics.median(side.wall):.3f} | {min(side.wall):.3f} | {min(side.cpu):.3f} |")
    for word, pick in (
        ("medians", lambda side: statistics.median(side.wall)),
        ("best turns", lambda side: min(side.wall)),
        ("CPU time", lambda side: min(side.cpu)),
    ):
        faster, share = pick(theirs) / pick(ours), pick(ours) / pick(epoch)
        print(f"{word}: {faster:.1f} times as fast as the loop (target 20), {share:.0%} of an epoch (target 20 %)")


if __name__ == "__main__":
    main()
