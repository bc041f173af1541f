"""`drn tune`: its searches at equal cost, a cost of 1 being one whole training.

    python benchmarks/tune.py table --data simulator --seeds 50 --folder build/tables
    python benchmarks/tune.py table --data ../shared/data/yoochoose-100k --epochs 1 --seeds 50 --folder build/tables \
        --genes "{rnn.window: {choice: [1]}, rnn.widths: {choice: [[16], [64], [16, 16], [16, 64]]}}"
    python benchmarks/tune.py live --data ../shared/data/yoochoose-100k --seeds 10 --searches surrogate,tpe
    python benchmarks/tune.py live --data ../shared/data/taobao --epochs 20 --seeds 10 --searches surrogate,tpe

`table` lets the searches look up what `benchmarks/tune_table.py` recorded: the figures are of real trainings, each spec
of one seed, and a search costs a second, so that fifty seeds can tell searches apart which five cannot. What it says
holds for that space. `live` trains everything, in a larger space, one seed of each search after the other. Both print
the best figure of a whole training so far after some costs, mean and 95 % bootstrap interval over seeds, and the
differences that decide. Each call goes on where the last one ended, in the folder's searches.jsonl.

Sixty random trainings a seed would be most of the work of `live`. Where `tune_table.py --random` recorded a pool of
them, random search is the best of so many drawn from it, in expectation, with an interval by bootstrap of the pool.
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tune_table import LIVE, POOL, Recorded, place, planned, prepared, recorded, table_of

from generator.jobs.workers import Engine, Outcome, Processes
from generator.tuning.individual import RungJob
from generator.tuning.journal import Journal
from generator.tuning.plan import Halving, TuningPlan
from generator.tuning.run import tune
from generator.tuning.search import Search
from generator.tuning.trainings import Trainings

# Search by name: sampler, halving (None: the sampler's own), individuals asked for at once (None: as given).
WHOLE, HALVED = Halving(rungs=1), Halving()
SEARCHES = {
    "surrogate": ("surrogate", None, None),
    "surrogate-whole": ("surrogate", WHOLE, None),
    "random-halved": ("random", HALVED, None),
    "genetic-halved": ("genetic", HALVED, None),
    "tpe-halved": ("tpe", HALVED, None),
    "random": ("random", None, None),
    "genetic": ("genetic", None, None),
    "tpe": ("tpe", None, None),
    "tpe-1": ("tpe", None, 1),
    "gp": ("gp", None, None),
}
REPLICATES = 10_000  # of a bootstrap
STOPS = (5, 10, 20, 60)
YARDSTICK = 60  # trainings of random search


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["live", "table"])
    parser.add_argument("--data", default="simulator", help="simulator, or a folder yoochoose-100k")
    parser.add_argument("--sessions", type=int, default=20_000, help="of the simulator")
    parser.add_argument("--cost", type=int, default=20, help="whole trainings a search may cost; random: 60, or more")
    parser.add_argument("--population", type=int, help="individuals of a generation, instead of each sampler's own")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--genes", default="{}", help="in place of the table's own of these names, as in a plan")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--searches", default=",".join(SEARCHES))
    parser.add_argument("--folder", type=Path, default=Path("build/tables"), help="data and table, kept")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    kind, folder = place(options.data, options.folder)
    data = prepared(kind, options.data, options.sessions, folder)
    search = table_of(options.genes) if options.mode == "table" else LIVE
    plan = planned(kind, search, folder, epochs=options.epochs)
    engine = Recorded(folder, plan.search) if options.mode == "table" else Processes(options.workers)
    names = options.searches.split(",")
    runs: dict[str, list[list[float]]] = {name: [] for name in names}
    for seed in range(options.first, options.first + options.seeds):
        for name in names:
            runs[name].append(found(plan, name, seed, data, engine, folder, options))
    curves = {name: np.array(each) for name, each in runs.items()}
    engine.close()
    print_table(f"{kind}, {options.mode}, {options.seeds} seeds: best MRR@20 on the validation split, by cost", curves)
    if options.mode == "live" and (pool := recorded(folder / POOL)):
        print_pool(np.array([scores[-1].metrics.get("MRR@20", 0.0) for scores in pool.values()]), curves)
    if options.plot:
        plot(curves, options.plot)


def found(
    plan: TuningPlan, name: str, seed: int, data: Path, engine: Engine, folder: Path, options: argparse.Namespace
) -> list[float]:
    """Return the best figure of a search within a cost of 1, 2, ...; what was searched before is kept in the folder."""
    cost = max(options.cost, YARDSTICK) if name == "random" else options.cost
    key = [options.mode, name, seed, cost, options.population, options.epochs, options.genes]
    kept = folder / "searches.jsonl"
    for line in kept.read_text().splitlines() if kept.exists() else []:
        if (known := json.loads(line))[0] == key:
            return known[1]
    meter, start = Meter(engine), time.process_time()
    wanted = planned_as(plan, name, seed, cost, options.population)
    with tempfile.TemporaryDirectory(dir=folder) as home:
        if options.mode == "table":
            replay(wanted, data, Path(home), meter, folder / "cuts/table")
        else:
            tune(wanted, data, Path(home) / "run", engine=meter, cuts=folder / "cuts")
    best, beside = meter.best(cost), 1e3 * (time.process_time() - start) / meter.jobs
    print(f"{name}, seed {seed}: {best[-1]:.4f}; {beside:.1f} ms CPU beside a training", flush=True)
    with kept.open("a") as stream:
        stream.write(json.dumps([key, best, beside]) + "\n")
    return best


def replay(plan: TuningPlan, data: Path, run: Path, engine: Engine, cuts: Path) -> None:
    """Search as `tune` does, without the files that it leaves: their making would be most of a second."""
    with Journal(run / "journal.jsonl", {}, resume=False) as journal:
        trainings = Trainings(plan, data, run, cuts, engine, journal)
        Search(plan, trainings).run()
        trainings.close()


def planned_as(plan: TuningPlan, name: str, seed: int, cost: int, population: int | None) -> TuningPlan:
    """Return the plan of a search."""
    sampler, halving, together = SEARCHES[name]
    return plan.model_copy(update={"confirm": None}).changed(
        sampler=sampler,
        seed=seed,
        genetic=plan.genetic.model_copy(update={"population": together or population}),
        training=plan.training.model_copy(update={"halving": halving}),
        budget=plan.budget.model_copy(update={"trainings": None, "epochs": cost * plan.training.epochs}),
    )


class Meter:
    """An engine that notes what its trainings cost, and what the whole ones came to."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.jobs, self._cost = engine, 0, 0.0
        self._found: list[tuple[float, float]] = []

    def map(self, function: Any, jobs: Any) -> Iterator[Outcome[Any]]:
        for outcome in self.engine.map(function, jobs):
            job = jobs[outcome.index]
            if isinstance(job, RungJob):
                end = job.spec.solver.max_iter
                self.jobs += 1
                self._cost += (job.until - job.since) / end
                if job.until == end and outcome.value is not None:
                    self._found.append((self._cost, outcome.value.metrics["MRR@20"]))
            yield outcome

    def best(self, cost: int) -> list[float]:
        """Return the best figure within a cost of 1, 2, ... ``cost``."""
        within = ([figure for at, figure in self._found if at <= most + 0.1] for most in range(1, cost + 1))
        return [max(figures, default=0.0) for figures in within]

    def close(self) -> None:
        self.engine.close()


def resampled(values: np.ndarray) -> np.ndarray:
    """Return bootstrap samples (REPLICATES, n) of ``values`` (n,)."""
    return np.random.default_rng(0).choice(values, (REPLICATES, len(values)))


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean."""
    return tuple(np.percentile(resampled(values).mean(axis=1), [2.5, 97.5]))


def shown(values: np.ndarray, sign: str = "") -> str:
    """Return the mean and its interval."""
    return spread(values.mean(), resampled(values).mean(axis=1), sign)


def spread(figure: float, samples: np.ndarray, sign: str = "") -> str:
    """Return a figure and the interval of its bootstrap ``samples``."""
    low, high = np.percentile(samples, [2.5, 97.5])
    return f"{figure:{sign}.4f} [{low:{sign}.4f}, {high:{sign}.4f}]"


def print_table(title: str, curves: dict[str, np.ndarray]) -> None:
    """Print the best so far by cost, and by how much the first search is ahead of the others, seed by seed."""
    print(f"\n{title}\n{'search':<18}" + "".join(f"{f'cost {stop}':>26}" for stop in STOPS))
    for name, runs in curves.items():
        print(f"{name:<18}" + "".join(f"{shown(runs[:, stop - 1]):>26}" for stop in STOPS if stop <= runs.shape[1]))
    (first, own), *others = curves.items()
    at = own.shape[1]
    for name, runs in others:
        for cost in (at // 2, at):
            print(f"{first} at {cost} - {name} at {cost}: {shown(own[:, cost - 1] - runs[:, cost - 1], '+')}")
    if "random" in curves:
        print(f"{first} at {at} - random at {YARDSTICK}: {shown(own[:, -1] - curves['random'][:, YARDSTICK - 1], '+')}")


def print_pool(pool: np.ndarray, curves: dict[str, np.ndarray]) -> None:
    """Print what random search comes to by a ``pool`` of trainings, and by how much each search is ahead of it."""
    samples = np.sort(resampled(pool), axis=1)
    best = {stop: (expected_best(np.sort(pool), stop), expected_best(samples, stop)) for stop in STOPS}
    for stop, (mean, means) in best.items():
        print(f"best of {stop} of {len(pool)} random trainings: {spread(mean, means)}")
    mean, means = best[YARDSTICK]
    # The pool and the seeds are independent, so that the pool's samples may come in any order.
    means = np.random.default_rng(1).permutation(means)
    for name, runs in curves.items():
        own = runs[:, -1]
        ahead = spread(own.mean() - mean, resampled(own).mean(axis=1) - means, "+")
        print(f"{name} at {runs.shape[1]} - best of {YARDSTICK} random trainings: {ahead}")


def expected_best(rising: np.ndarray, count: int) -> np.ndarray:
    """Return the mean best of ``count`` drawn from ``rising`` (..., n), sorted, without replacement."""
    size = rising.shape[-1]
    chances = [math.comb(place, count - 1) / math.comb(size, count) for place in range(size)]
    return rising @ np.array(chances)


def plot(curves: dict[str, np.ndarray], path: Path) -> None:
    """Draw the best so far, mean and interval over seeds, to a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, runs in curves.items():
        bounds = np.array([interval(column) for column in runs.T])
        cost = np.arange(1, runs.shape[1] + 1)
        (line,) = axes.plot(cost, runs.mean(axis=0), label=name)
        axes.fill_between(cost, bounds[:, 0], bounds[:, 1], color=line.get_color(), alpha=0.15, linewidth=0)
    axes.set(xlabel="cost, in whole trainings", ylabel="best MRR@20 so far, on the validation split")
    axes.legend()
    figure.savefig(path, dpi=150)
    print(f"plot: {path}")


if __name__ == "__main__":
    main()
