"""How training grows: a step's time and memory with the ids, an epoch's with the sessions, and the fitted exponents.

    python benchmarks/scale.py
    python benchmarks/scale.py --most 10000000 --most-ids 1000000 --plot scale.png

First nets of N items and M = N pages, 1,000 to --most-ids, under the softmax over all items, under a sampled one (512
negatives), and tied with a mixture and 16 slots under a sampled one and the Adam that leaves rows alone: the median
step, and the peak memory of a process that does nothing else, beside that of the weights and their history, and of the
tables that the mixture adds to the model. Then simulated shops of 10,000 to --most sessions: `drn simulate`,
`drn sessions` and an epoch of `drn train`, each in a process of its own. The exponent is the slope of the logarithms,
over all sizes and over the upper half of them, where fixed costs weigh less: 1 is linear. --plot wants matplotlib.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from generator.codegen.net import net_of
from generator.spec import dump_spec
from generator.spec.schema import Spec
from generator.training.run.generated import Generated
from generator.training.run.loop import prefetch
from generator.training.run.rows import training_batches

SIZES = [1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000]
NEVER = 10**9
NEGATIVES, THREADS = 512, 2
WINDOW, WIDTH, BATCH = 4, 32, 64
SESSIONS_A_USER = 20
SECONDS = 3.0  # of steps, once the first is made
LEAST = 5  # steps


def make_spec(ids: int, max_iter: int = NEVER, negatives: int = 0, *, mixed: bool = False) -> Spec:
    """Return an RNN of ``ids`` pages and items, trained by SGD with momentum, on ``negatives`` or on all items.

    Where it is ``mixed``: tied, with a mixture and slots, by a lazy Adam.
    """
    solver: dict[str, Any] = {
        "base_lr": 0.05,
        "max_iter": max_iter,
        "batch_size": BATCH,
        "snapshot": NEVER,
        "test_interval": NEVER,
    }
    if negatives:
        solver["sampled"] = {"negatives": negatives}
    rnn: dict[str, Any] = {"window": WINDOW, "widths": [WIDTH]}
    head: dict[str, Any] = {}
    if mixed:
        head = {"tied": True, "mix": {}, "slots": 16}
        solver |= {"type": "Adam", "lazy": True, "base_lr": 0.003}
    return Spec.model_validate(
        {"name": "scale", "net": "rnn", "pages": ids, "items": ids, "rnn": rnn, "head": head, "solver": solver}
    )


def steps(ids: int, negatives: int, *, mixed: bool) -> dict[str, Any]:
    """Train a net of ``ids`` pages and items on pages by Zipf's law; return the seconds of a step."""
    spec = make_spec(ids, negatives=negatives, mixed=mixed)
    made = Generated.of(spec)
    weights = made.fresh()
    learner = made.learner(weights, threads=THREADS)
    rng = np.random.default_rng(1)
    page = np.minimum(np.exp(rng.random((100 * BATCH, WINDOW)) * np.log(ids)), ids).astype(np.int32)
    rows = {"page": page, "label": page[:, -1] % ids + 1}
    spent: list[float] = []
    with prefetch(training_batches(spec, rows, order="shuffle", tables=list(learner.tables)), 0) as batches:
        learner.step(batches)
        while len(spent) < LEAST or sum(spent) < SECONDS:
            began = time.perf_counter()
            learner.step(batches)
            spent.append(time.perf_counter() - began)
    tables = sum(math.prod(shape) for _, _, shape in net_of(spec).mix_parameters)
    parameters = sum(weight.size for weight in weights.values())
    return {"step": statistics.median(spent), "parameters": parameters, "tables": tables}


@dataclass(frozen=True)
class Spent:
    """Wall seconds of a process and its peak memory in MiB."""

    seconds: float
    peak: float
    output: str


# A process of few modules: the peak of a command includes what its parent held when it forked.
WATCH = """
import json, resource, subprocess, sys, time
began = time.perf_counter()
done = subprocess.run(sys.argv[1:], check=True, stdout=subprocess.PIPE, text=True)
seconds = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(json.dumps({"seconds": seconds, "peak": peak, "output": done.stdout}))
"""


def run(*command: str) -> Spent:
    """Run this Python with ``command``, watched."""
    watched = [sys.executable, "-c", WATCH, sys.executable, *command]
    return Spent(**json.loads(subprocess.run(watched, check=True, stdout=subprocess.PIPE, text=True).stdout))


def by_ids(most: int) -> Iterator[dict[str, float]]:
    """Yield a row of the first table for each number of ids."""
    for ids in (size for size in SIZES if size <= most):
        sides = ([], ["--negatives", str(NEGATIVES)], ["--negatives", str(NEGATIVES), "--mixed"])
        whole, sampled, mixed = (run(__file__, "--steps", str(ids), *side) for side in sides)
        found, some, more = (json.loads(each.output) for each in (whole, sampled, mixed))
        yield {
            "N = M": ids,
            "weights and history, MiB": 2 * 4 * found["parameters"] / 2**20,
            "step, ms": 1e3 * found["step"],
            "peak, MiB": whole.peak,
            "sampled step, ms": 1e3 * some["step"],
            "sampled peak, MiB": sampled.peak,
            "mixed step, ms": 1e3 * more["step"],
            "mixed peak, MiB": mixed.peak,
            "mixture's tables, MiB": 4 * more["tables"] / 2**20,
        }


def by_sessions(most: int, folder: Path) -> Iterator[dict[str, float]]:
    """Yield a row of the second table for each number of sessions."""
    for sessions in (size for size in SIZES[2:] if size <= most):
        log, data, run_folder = (folder / f"{name}{sessions}" for name in ("log", "data", "run"))
        users = str(max(100, sessions // SESSIONS_A_USER))
        made = run("-m", "generator", "simulate", "-o", str(log), "--sessions", str(sessions), "--users", users)
        spec = folder / "spec.yaml"
        spec.write_text(dump_spec(make_spec(1_000)))
        command = ("-m", "generator", "sessions", str(log / "events.parquet"), "--spec", str(spec), "-o", str(data))
        read = run(*command, "--format", "json")
        meta = json.loads(read.output)
        updates = -(-meta["splits"]["train"]["rows"] // BATCH)
        spec.write_text(dump_spec(make_spec(1_000, max_iter=updates)))
        epoch = run("-m", "generator", "train", str(spec), "--data", str(data), "-o", str(run_folder))
        yield {
            "sessions": sessions,
            "events": meta["events"]["rows"],
            "simulate, s": made.seconds,
            "sessions, s": read.seconds,
            "sessions, MiB": read.peak,
            "epoch, s": epoch.seconds,
            "epoch, MiB": epoch.peak,
        }


def slope(rows: list[dict[str, float]], over: str, name: str) -> float:
    """Return the exponent of ``name`` as a power of ``over``: the slope of a line through the logarithms."""
    if len(rows) < 2:
        return float("nan")
    return float(np.polyfit(np.log([row[over] for row in rows]), np.log([row[name] for row in rows]), 1)[0])


def table(rows: Iterator[dict[str, float]]) -> list[dict[str, float]]:
    """Print a Markdown table as its rows come, and the exponents in its first column below it; return the rows."""
    held: list[dict[str, float]] = []
    for row in rows:
        if not held:
            print("\n| " + " | ".join(row) + " |\n" + "|---:" * len(row) + "|")
        held.append(row)
        cells = (
            f"{value:,.0f}" if isinstance(value, int) or value >= 100 else f"{value:.2f}" for value in row.values()
        )
        print("| " + " | ".join(cells) + " |", flush=True)
    if held:
        over, *names = held[0]
        for label, some in (("exponent, all", held), ("exponent, upper half", held[-max(2, len(held) // 2) :])):
            print("| " + " | ".join([label, *(f"{slope(some, over, name):.2f}" for name in names)]) + " |")
    return held


def plot(tables: list[list[dict[str, float]]], path: Path) -> None:
    """Draw each table: times to the left, memory to the right, against the first column."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4 * len(tables)), layout="constrained")
    for place, rows in enumerate(tables):
        over, *names = rows[0]
        for side, unit in enumerate((("ms", " s"), ("MiB",))):
            axes = figure.add_subplot(len(tables), 2, 2 * place + side + 1)
            for name in (name for name in names if name.endswith(unit)):
                values = [row[name] for row in rows]
                axes.loglog([row[over] for row in rows], values, "o-", label=f"{name}: {slope(rows, over, name):.2f}")
            axes.set_xlabel(over)
            axes.legend(title="exponent")
    figure.savefig(path, dpi=120)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=300_000, help="sessions of the largest shop; 0: no shop")
    parser.add_argument("--most-ids", type=int, default=1_000_000, help="pages and items of the largest net; 0: no net")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the tables too")
    parser.add_argument("--steps", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--negatives", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--mixed", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.steps:
        print(json.dumps(steps(options.steps, options.negatives, mixed=options.mixed)))
        return
    with tempfile.TemporaryDirectory(prefix="drn-scale-") as name:
        tables = [table(by_ids(options.most_ids)), table(by_sessions(options.most, Path(name)))]
    if options.plot:
        plot([rows for rows in tables if rows], options.plot)


if __name__ == "__main__":
    main()
