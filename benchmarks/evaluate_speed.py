"""Full ranking of YooChoose's test part: `drn evaluate` beside a loop over its rows, and beside an epoch of training.

    python benchmarks/evaluate_speed.py --rounds 5

Both rank every item for every row of the test part, with the same model; the loop gives onnxruntime one row at a time
and sorts the scores, as scripts around a served model do. HR@20 and MRR@20 are asserted equal. The targets: 20 times
the speed of the loop, and a fifth of the time of an epoch. Reads ../shared/data/yoochoose-100k.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from yoochoose import LOGS, TUNED, make_data

from generator.evaluate.evaluate import evaluate
from generator.evaluate.model import Model
from generator.evaluate.rows import Part
from generator.spec import load_spec
from generator.train.loop import train

K = 20


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


def whole(model: Model, data: Path) -> tuple[float, float]:
    """Return HR@20 and MRR@20 as `drn evaluate` finds them, intervals and all."""
    metrics = evaluate({"model": model}, data).methods[0].metrics
    return metrics[f"HR@{K}"].value, metrics[f"MRR@{K}"].value


def loop(model: Model, data: Path) -> tuple[float, float]:
    """Return the same from one row after the other."""
    places = []
    with Part(data, "test") as part:
        for batch in part.batches(512):
            inputs = batch.inputs(model.sizes)
            for row, label in enumerate(batch.label):
                scores = model.scores({name: array[row : row + 1] for name, array in inputs.items()})[0]
                best = np.argsort(-scores[1 : batch.items + 1], kind="stable")[:K] + 1
                place = np.flatnonzero(best == label)
                places.append(1 / (place[0] + 1) if place.size else 0.0)
    return float(np.count_nonzero(places) / len(places)), float(np.mean(places))


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
        with Part(data, "train") as part:
            updates = -(-len(part) // spec.solver.batch_size)
        epoch, ours, theirs = Side(), Side(), Side()
        for number in range(options.rounds):
            run = folder / f"run{number}"
            epoch.turn(lambda run=run: train(spec, data, run, threads=options.threads, until=updates))
            model, single = Model(run, options.threads), Model(run, 1)
            found = ours.turn(lambda model=model: whole(model, data))
            expected = theirs.turn(lambda single=single: loop(single, data))
            np.testing.assert_allclose(found, expected, atol=1e-4)
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
