"""A step under a softmax over some of the items beside one over all: the same net and batches, by turns, in one run.

    python benchmarks/sampled.py
    python benchmarks/sampled.py --items 30000 --threads 2 --rounds 15

The net is Globo's (arch_specs/globo-tuned.yaml: tied, width 64, four states, B 256, 1,024 negatives) without its
mixture, on synthetic sessions of so many items, by SGD with momentum and by Adam, its tables row by row too
(solver.lazy: momentum, and true). Ratios are of CPU time. The softmax over 300,000 items needs some 4 GiB.
"""

import argparse
from itertools import cycle
from pathlib import Path

from nets import NEVER, make_rows
from turns import Side, table

from generator.spec import load_spec
from generator.training.run.generated import Generated
from generator.training.run.rows import training_batches

TUNED = Path(__file__).resolve().parents[1] / "arch_specs" / "globo-tuned.yaml"
BATCHES = 8
WHOLE = ("solver.lazy=false",)  # rows: each at every update
SGD = (*WHOLE, "solver.type=SGD", "solver.base_lr=0.01", "solver.lr_policy=fixed")
# Of a side: what differs from the tuned spec.
SIDES = {
    "all items, SGD": (*SGD, "solver.sampled=null"),
    "sampled, SGD": SGD,
    "all items, Adam": (*WHOLE, "solver.sampled=null"),
    "sampled, Adam": WHOLE,
    "sampled, by momentum, Adam": ("solver.lazy=momentum",),
    "sampled, lazy Adam": ("solver.lazy=true",),
}


def make_side(name: str, items: int, threads: int) -> Side:
    """Return the side that trains a net of so many items."""
    never = [f"solver.{each}={NEVER}" for each in ("max_iter", "display", "snapshot", "test_interval")]
    sizes = [f"pages={items}", f"items={items}", "head.mix=null", "solver.recency=null"]
    spec = load_spec(TUNED, [*sizes, *never, *SIDES[name]])
    made = Generated.of(spec)
    learner = made.learner(made.fresh(), threads=threads)
    rows = make_rows(spec, BATCHES * spec.solver.batch_size)
    batches = training_batches(spec, rows, order="file", tables=list(learner.tables))
    coming = cycle(batches.some(0, BATCHES))
    return Side(name, lambda times: [learner.step(coming) for _ in range(times)][-1])


def measure(items: int, rounds: int, threads: int, seconds: float) -> list[str]:
    """Return a row a side."""
    sides = [make_side(name, items, threads) for name in SIDES]
    times = {}
    for side in sides:
        side.turn(1)
        side.turn(1)
        times[side.name] = max(1, round(seconds / side.best))
        side.forget()
    for _ in range(rounds):
        for side in sides:
            side.turn(times[side.name])
    lines = []
    for side in sides:
        whole = next(each for each in sides if each.name == f"all items, {side.name.split()[-1]}")
        cpu = sum(side.cpu) / len(side.cpu)
        cells = [f"{items:,}", side.name, f"{1e3 * side.median:.1f}", f"{1e3 * side.best:.1f}"]
        cells += [f"{1e3 * cpu:.1f}", f"{sum(whole.cpu) / len(whole.cpu) / cpu:.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[30_000, 300_000], help="M = N of each net")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side")
    parser.add_argument("--seconds", type=float, default=0.5, help="about how long a turn takes, a step at least")
    parser.add_argument("--threads", type=int, default=1, help="of onnxruntime")
    options = parser.parse_args()
    lines = [
        line for items in options.items for line in measure(items, options.rounds, options.threads, options.seconds)
    ]
    table("| items | side | step, median, ms | best | of CPU time | all items take so many times |", lines)


if __name__ == "__main__":
    main()
