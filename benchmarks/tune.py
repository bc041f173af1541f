"""`drn tune`: its genetic algorithm against random search and TPE, at the same number of trainings.

    python benchmarks/tune.py live --data simulator
    python benchmarks/tune.py live --data ../shared/data/yoochoose-100k --trainings 60 --plot curves.png
    python benchmarks/tune.py table --data simulator --seeds 50

`live` trains everything. `table` trains every spec of a discrete space once, records it, and lets the samplers search
the record: the figures are of real trainings, but each spec has one seed, and a search costs milliseconds, so that
fifty seeds can tell samplers apart which five cannot. What it says holds for that space. Both print the best figure so
far after each quarter of the budget, mean and 95 % bootstrap interval over seeds, and the difference to random search.
"""

import argparse
import json
import shutil
import tempfile
from itertools import product
from pathlib import Path

import numpy as np

from generator.data.build import Options, build
from generator.data.rewindowed import Rewindow, rewindow_folder, window_name
from generator.data.sessions.splits import Division
from generator.jobs.workers import Outcome, Processes
from generator.shop.simulator import Shop, simulate
from generator.spec import spec_hash
from generator.spec.schema import Spec
from generator.tuning.individual import RungJob, Score, rank, rows_in, seed_of, trained_as
from generator.tuning.plan import load_plan
from generator.tuning.run import tune

# Sampler by name: its kind and how many individuals it is asked for at once (None: the population).
SAMPLERS = {"genetic": ("genetic", None), "random": ("random", None), "tpe": ("tpe", None), "tpe-1": ("tpe", 1)}

FIXED = {
    "simulator": "{name: shop, net: combined, pages: 600, items: 600, data: {target: purchase}, "
    "rnn: {window: 4, widths: [32], history: 16}, fnn: {bought: 8, widths: [32]}, "
    "init: {table: {type: gaussian}}, solver: {clip_gradients: 1}}",
    "yoochoose": "{name: yoochoose, net: rnn, pages: 2933, items: 2933, loss: every, data: {target: next}, "
    "rnn: {window: 4, widths: [64], history: 16}, init: {table: {type: gaussian}}, solver: {clip_gradients: 0.5}}",
}
LIVE = """
  rnn.window: {int: [1, 8]}
  rnn.history: {choice: [0, 16]}
  rnn.widths: {list: {int: [8, 128], log: true}, length: [1, 3]}
  solver.base_lr: {float: [0.003, 3], log: true}
  solver.momentum: {float: [0, 0.95]}
  solver.batch_size: {choice: [16, 32, 64, 128]}
  solver.clip_gradients: {float: [0.1, 5], log: true}
  init.table.std: {float: [0.01, 1], log: true}
"""
TABLE = """
  rnn.window: {choice: [1, 2, 4, 8]}
  rnn.widths: {list: {choice: [16, 64]}, length: [1, 2]}
  solver.base_lr: {choice: [0.01, 0.03, 0.1, 0.3, 1]}
  solver.momentum: {choice: [0, 0.9]}
  solver.batch_size: {choice: [32, 128]}
"""
PLAN = """
spec: {fixed}
search:{search}
objectives: [MRR@20]
training: {{epochs: {epochs}}}
budget: {{trainings: {trainings}}}
genetic: {{population: {population}}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["live", "table"])
    parser.add_argument("--data", default="simulator", help="simulator, or a folder yoochoose-100k")
    parser.add_argument("--sessions", type=int, default=20_000, help="of the simulator")
    parser.add_argument("--trainings", type=int, default=40)
    parser.add_argument("--population", type=int, default=10)
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--samplers", default="genetic,random,tpe,tpe-1", help="tpe-1: asked for one at a time")
    parser.add_argument("--folder", type=Path, default=Path("build/benchmark-tune"), help="data and table, kept")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    kind = "simulator" if options.data == "simulator" else "yoochoose"
    folder = options.folder / (f"simulator-{options.sessions}" if kind == "simulator" else kind)
    data = prepared(kind, options, folder)
    search = LIVE if options.mode == "live" else TABLE
    plan = planned(kind, search, options, folder)
    engine = Processes(options.workers)
    list(engine.map(warm, [None] * engine.workers))
    names = options.samplers.split(",")
    used = engine
    if options.mode == "table":
        table = tabulated(plan, data, folder, engine)
        used = Recorded(table)
        best = max(score.metrics["MRR@20"] for score in table.values())
        print(f"table: {len(table)} specs, the best {best:.4f}")
    curves, overheads = {}, []
    for name in names:
        sampler, together = SAMPLERS[name]
        curves[name] = []
        for seed in range(1, options.seeds + 1):
            genetic = plan.genetic.model_copy(update={"population": together or options.population})
            changed = plan.changed(sampler=sampler, seed=seed, genetic=genetic)
            with tempfile.TemporaryDirectory(dir=folder) as run:
                result = tune(changed, data, Path(run) / "run", engine=used, cuts=folder / "cuts")
            curves[name].append(curve(result.history, options.trainings))
            if options.mode == "live":
                spent = result.seconds - result.work_seconds / min(engine.workers, together or options.population)
                overheads.append((name, 1e3 * spent / result.trained))
            print(f"{name}, seed {seed}: {curves[name][-1][-1]:.4f}, {result.seconds:.1f} s", flush=True)
    engine.close()
    table_of(f"{kind}, {options.mode}, {options.seeds} seeds: best MRR@20 on the validation split", curves)
    if overheads and engine.workers == 1:
        for name in names:
            mine = [overhead for who, overhead in overheads if who == name]
            print(f"overhead beside training and evaluation, {name}: median {np.median(mine):.1f} ms an individual")
    if options.plot:
        plot(curves, options.plot)


def warm(_job: object) -> None:
    """Have a worker import what it needs before the clock runs."""


def prepared(kind: str, options: argparse.Namespace, folder: Path) -> Path:
    """Return the data folder, made if it is not there."""
    data = folder / "data"
    if data.is_dir():
        return data
    folder.mkdir(parents=True, exist_ok=True)
    spec = Spec.model_validate(load_yaml(FIXED[kind]))
    if kind == "simulator":
        simulate(folder / "log", Shop(sessions=options.sessions, seed=1))
        division = Division(share=0.05, valid_share=0.2)
        build([folder / "log/events.parquet"], data, spec, Options("events", division=division), "benchmark")
        return data
    source = Path(options.data)
    division = Division(files=True, valid_share=0.1)
    chosen = Options("session-rec", test=(source / "test.tsv.gz",), division=division)
    build([source / "train_full.tsv.gz"], data, spec, chosen, "benchmark")
    return data


def load_yaml(text: str) -> object:
    import yaml

    return yaml.safe_load(text)


def planned(kind: str, search: str, options: argparse.Namespace, folder: Path) -> object:
    """Write and load the plan."""
    text = PLAN.format(
        fixed=FIXED[kind],
        search=search,
        epochs=options.epochs,
        trainings=options.trainings,
        population=options.population,
    )
    (folder / "plan.yaml").write_text(text)
    return load_plan(folder / "plan.yaml")


def curve(history: tuple, trainings: int) -> list[float]:
    """Return the best figure after each training; a search that ran out of specs stays where it is."""
    values = [(each.values or {"MRR@20": 0.0})["MRR@20"] for each in history if each.first == each.number]
    values += [0.0] * (trainings - len(values))
    return list(np.maximum.accumulate(values))


class Recorded:
    """An engine that looks trainings up."""

    def __init__(self, table: dict[str, Score]) -> None:
        self.table = table

    def map(self, function, jobs):
        for index, job in enumerate(jobs):
            value = self.table[key_of(job.spec)] if isinstance(job, RungJob) else function(job)
            yield Outcome(index, value, None, 1)

    def close(self) -> None:
        pass


def key_of(spec: Spec) -> str:
    """Return the key of a spec in the table: all but its seed."""
    return spec_hash(spec.model_copy(update={"solver": spec.solver.model_copy(update={"random_seed": 0})}))


def tabulated(plan, data: Path, folder: Path, engine: Processes) -> dict[str, Score]:
    """Return the score of every spec of the plan's space, trained where the record does not know it yet."""
    record = folder / "table.jsonl"
    table = {}
    if record.exists():
        for line in record.read_text().splitlines():
            key, *score = json.loads(line)
            table[key] = Score(*score)
    specs = {}
    for values in product(*(every(gene) for gene in plan.search.values())):
        spec = plan.space.spec(dict(zip(plan.search, values, strict=True)))
        specs[spec_hash(spec)] = spec
    cuts = folder / "cuts" / "table"
    sizes = {window_name(spec): spec for spec in specs.values()}
    rows = {}
    wanted = [Rewindow(data, cuts / name, spec, ("train.h5", "valid.h5")) for name, spec in sizes.items()]
    for outcome in engine.map(rewindow_folder, wanted):
        name = list(sizes)[outcome.index]
        rows[name] = rows_in(cuts / name)
    missing = []
    for name, spec in specs.items():
        whole = trained_as(spec, seed_of(0, name), rows[window_name(spec)], plan.training.epochs)
        if key_of(whole) not in table:
            missing.append(
                RungJob(whole, cuts / window_name(spec), folder / "work" / name[:16], 0, whole.solver.max_iter)
            )
    print(f"table: {len(specs)} specs, {len(missing)} to train", flush=True)
    with record.open("a") as stream:
        for outcome in engine.map(rank, missing):
            job = missing[outcome.index]
            shutil.rmtree(job.run, ignore_errors=True)
            score = outcome.value or Score({"MRR@20": 0.0}, 0, 0.0)  # diverged
            table[key_of(job.spec)] = score
            stream.write(json.dumps([key_of(job.spec), score.metrics, score.size, score.seconds]) + "\n")
            stream.flush()
    wanted = {key_of(trained_as(spec, 0, rows[window_name(spec)], plan.training.epochs)) for spec in specs.values()}
    return {key: table[key] for key in wanted}


def every(gene) -> list:
    """Return all values of a choice, or of a list of choices."""
    if hasattr(gene, "values"):
        return list(gene.values)
    lengths = range(gene.shortest, gene.longest + 1)
    return [list(values) for length in lengths for values in product(gene.element.values, repeat=length)]


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean."""
    draws = np.random.default_rng(0).choice(values, (10_000, len(values))).mean(axis=1)
    return tuple(np.percentile(draws, [2.5, 97.5]))


def table_of(title: str, curves: dict[str, list[list[float]]]) -> None:
    """Print the best so far after each quarter of the budget, and the difference to random at the end."""
    length = len(next(iter(curves.values()))[0])
    stops = [max(1, length * quarter // 4) for quarter in (1, 2, 3, 4)]
    print(f"\n{title}\n{'sampler':<18}" + "".join(f"{f'after {stop}':>26}" for stop in stops) + f"{'minus random':>28}")
    for name, runs in curves.items():
        figures = np.array(runs)
        cells = []
        for stop in stops:
            low, high = interval(figures[:, stop - 1])
            cells.append(f"{figures[:, stop - 1].mean():.4f} [{low:.4f}, {high:.4f}]")
        gap = ""
        if name != "random" and "random" in curves:
            ends, others = figures[:, -1], np.array(curves["random"])[:, -1]
            rng = np.random.default_rng(0)
            draws = rng.choice(ends, (10_000, len(ends))).mean(1) - rng.choice(others, (10_000, len(others))).mean(1)
            low, high = np.percentile(draws, [2.5, 97.5])
            gap = f"{ends.mean() - others.mean():+.4f} [{low:+.4f}, {high:+.4f}]"
        print(f"{name:<18}" + "".join(f"{cell:>26}" for cell in cells) + f"{gap:>28}")


def plot(curves: dict[str, list[list[float]]], path: Path) -> None:
    """Draw the best so far, mean and interval over seeds, to a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for colour, (name, runs) in zip(("#0072B2", "#7f7f7f", "#D55E00", "#CC79A7"), curves.items(), strict=False):
        figures = np.array(runs)
        bounds = np.array([interval(column) for column in figures.T])
        trained = np.arange(1, figures.shape[1] + 1)
        axes.plot(trained, figures.mean(axis=0), color=colour, label=name)
        axes.fill_between(trained, bounds[:, 0], bounds[:, 1], color=colour, alpha=0.15, linewidth=0)
    axes.set(xlabel="trainings", ylabel="best MRR@20 so far, on the validation split")
    axes.legend()
    figure.savefig(path, dpi=150)
    print(f"plot: {path}")


if __name__ == "__main__":
    main()
