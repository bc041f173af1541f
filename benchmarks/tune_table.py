"""A recorded table of learning curves: every spec of a discrete space trained once, ranked at several shares of it.

    python benchmarks/tune_table.py --data simulator --minutes 8 --folder build/tables
    python benchmarks/tune_table.py --data ../shared/data/yoochoose-100k --minutes 8 --folder build/tables

Each call goes on where the last one ended. `benchmarks/tune.py table` lets samplers search what is recorded.
"""

import argparse
import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from textwrap import indent
from typing import Any

import numpy as np
import yaml

from generator.data.build import Options, build
from generator.data.rewindowed import Rewindow, rewindow_folder, window_name
from generator.data.sessions.splits import Division
from generator.errors import DrnError
from generator.jobs.workers import Outcome, Processes
from generator.shop.simulator import Shop, simulate
from generator.spec import spec_hash
from generator.spec.schema import Spec, field_of
from generator.tuning.individual import RungJob, Score, rank, rows_in, seed_of, trained_as
from generator.tuning.plan import TuningPlan, load_plan

CURVES, POOL = "curves.jsonl", "pool.jsonl"
SHARES = (1 / 9, 1 / 3, 1.0)  # of a training, where it is ranked
CHUNK = 8  # trainings between two looks at the clock


@dataclass(frozen=True)
class Log:
    """A log to search on: the fixed part of its specs, its files, and how they are read and divided."""

    fixed: str
    form: str
    division: Division
    train: str
    test: tuple[str, ...] = ()


LOGS = {
    "simulator": Log(
        "{name: shop, net: combined, pages: 600, items: 600, data: {target: purchase}, "
        "rnn: {window: 4, widths: [32], history: 16}, fnn: {bought: 8, widths: [32]}, "
        "init: {table: {type: gaussian}}, solver: {clip_gradients: 1}}",
        "events",
        Division(share=0.05, valid_share=0.2),
        "events.parquet",
    ),
    "yoochoose": Log(
        "{name: yoochoose, net: rnn, pages: 2933, items: 2933, loss: every, data: {target: next}, "
        "rnn: {window: 4, widths: [64], history: 16}, init: {table: {type: gaussian}}, solver: {clip_gradients: 0.5}}",
        "session-rec",
        Division(files=True, valid_share=0.1),
        "train_full.tsv.gz",
        ("test.tsv.gz",),
    ),
    "taobao": Log(
        "{name: taobao, net: combined, pages: 5000, items: 5000, "
        "data: {target: purchase, page: category, item: category}, "
        "rnn: {window: 6, widths: [64], history: 16}, fnn: {bought: 16, widths: [64]}, "
        "init: {table: {type: gaussian}}, solver: {clip_gradients: 1}}",
        "taobao",
        Division(share=0.05, valid_share=0.25),
        "UserBehavior.csv.gz",
    ),
}
TABLE = """
  rnn.window: {choice: [1, 4]}
  rnn.widths: {list: {choice: [16, 64]}, length: [1, 2]}
  solver.base_lr: {choice: [0.01, 0.03, 0.1, 0.3, 1]}
  solver.momentum: {choice: [0, 0.9]}
  solver.batch_size: {choice: [32, 128]}
"""
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
PLAN = """
spec: {fixed}
search:{search}
objectives: [MRR@20]
training: {{epochs: {epochs}}}
budget: {{trainings: {trainings}}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="simulator", help="simulator, or a folder yoochoose-100k")
    parser.add_argument("--sessions", type=int, default=20_000, help="of the simulator")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--genes", default="{}", help="in place of the table's own of these names, as in a plan")
    parser.add_argument("--random", type=int, help="so many random specs of the larger space instead, to pool.jsonl")
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("build/tables"))
    options = parser.parse_args()
    kind, folder = place(options.data, options.folder)
    data = prepared(kind, options.data, options.sessions, folder)
    plan = planned(kind, LIVE if options.random else table_of(options.genes), folder, epochs=options.epochs)
    points, path = (random_specs(plan, options.random), POOL) if options.random else (specs_of(plan), CURVES)
    with Processes(options.workers) as engine:
        record(plan, points, data, folder / path, engine, 60 * options.minutes)


def table_of(genes: str) -> str:
    """Return TABLE with other ``genes``, such as those of a part of it that is wholly recorded."""
    return "\n" + indent(yaml.safe_dump(yaml.safe_load(TABLE) | yaml.safe_load(genes), sort_keys=False), "  ")


def place(data: str, folder: Path) -> tuple[str, Path]:
    """Return the name in LOGS of a data set, as its folder is called up to a dash, and the folder of its table."""
    kind = Path(data).name.split("-")[0]
    if kind not in LOGS:
        raise SystemExit(f"--data {data}: there is no such log; there are {', '.join(LOGS)}")
    return kind, folder / kind


def prepared(kind: str, source: str, sessions: int, folder: Path) -> Path:
    """Return the data folder, made if it is not there."""
    data = folder / "data"
    if data.is_dir():
        return data
    folder.mkdir(parents=True, exist_ok=True)
    log, logs = LOGS[kind], Path(source)
    if kind == "simulator":
        logs = folder / "log"
        simulate(logs, Shop(sessions=sessions, seed=1))
    options = Options(log.form, test=tuple(logs / name for name in log.test), division=log.division)
    build([logs / log.train], data, Spec.model_validate(yaml.safe_load(log.fixed)), options, "benchmark")
    return data


def planned(kind: str, search: str, folder: Path, *, epochs: float, trainings: int = 60) -> TuningPlan:
    """Write and load the plan."""
    text = PLAN.format(
        fixed=LOGS[kind].fixed,
        search=search,
        epochs=epochs,
        trainings=trainings,
    )
    (folder / "plan.yaml").write_text(text)
    return load_plan(folder / "plan.yaml")


def key_of(spec: Spec, genes: Iterable[str]) -> str:
    """Return the key of a spec in the table: its genes alone, so that a record outlives changes of other fields."""
    return _key([field_of(spec, name) for name in genes])


def _key(values: Iterable[Any]) -> str:
    return json.dumps([float(value) if isinstance(value, int) else value for value in values])


def stop(share: float, iterations: int) -> int:
    """Return the iteration at ``share`` of a training, as the search counts it."""
    return max(1, round(share * iterations))


def learning_curve(job: RungJob) -> list[Score]:
    """Train to each of SHARES in turn and rank there; what diverges has no accuracy from there on."""
    scores, since, end = [], 0, job.spec.solver.max_iter
    for share in SHARES:
        until = stop(share, end)
        try:
            scores.append(rank(replace(job, since=since, until=until)))
        except DrnError:
            break
        since = until
    shutil.rmtree(job.run, ignore_errors=True)
    lost = Score({}, 0, 0.0)
    return scores + [lost] * (len(SHARES) - len(scores))


def specs_of(plan: TuningPlan) -> Iterator[tuple[dict[str, Any], Spec]]:
    """Yield the genes and the spec of every point of the plan's space."""
    for values in product(*(every(gene) for gene in plan.search.values())):
        genes = dict(zip(plan.search, values, strict=True))
        yield genes, plan.space.spec(genes)


def random_specs(plan: TuningPlan, count: int) -> Iterator[tuple[dict[str, Any], Spec]]:
    """Yield the genes and the spec of ``count`` random points of the plan's space, always the same."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        genes = plan.space.express({name: each.at(rng.random()) for name, each in plan.space.parameters().items()})
        yield genes, plan.space.spec(genes)


def every(gene) -> list:
    """Return all values of a choice, or of a list of choices."""
    if hasattr(gene, "values"):
        return list(gene.values)
    lengths = range(gene.shortest, gene.longest + 1)
    return [list(values) for length in lengths for values in product(gene.element.values, repeat=length)]


def recorded(path: Path) -> dict[str, list[Score]]:
    """Return what is recorded: the scores at SHARES by key."""
    lines = path.read_text().splitlines() if path.exists() else []
    rows = map(json.loads, lines)
    return {_key(genes.values()): [Score(*score) for score in scores] for genes, scores in rows}


def record(
    plan: TuningPlan,
    specs: Iterable[tuple[dict[str, Any], Spec]],
    data: Path,
    path: Path,
    engine: Processes,
    seconds: float,
) -> None:
    """Train those of ``specs`` that the record at ``path`` lacks, until ``seconds`` are over."""
    end = time.monotonic() + seconds
    table, cuts = recorded(path), path.parent / "cuts" / "table"
    points = {spec_hash(spec): (genes, spec) for genes, spec in specs}
    windows = {window_name(spec): spec for _, spec in points.values()}
    list(
        engine.map(rewindow_folder, [Rewindow(data, cuts / w, s, ("train.h5", "valid.h5")) for w, s in windows.items()])
    )
    rows = {name: rows_in(cuts / name) for name in windows}
    jobs, genes_of = [], []
    for name, (genes, spec) in points.items():
        window = window_name(spec)
        whole = trained_as(spec, seed_of(0, name), rows[window], plan.training.epochs)
        if key_of(whole, plan.search) not in table:
            jobs.append(RungJob(whole, cuts / window, path.parent / "work" / name[:16], 0, whole.solver.max_iter))
            genes_of.append(genes)
    print(f"table: {len(points)} specs, {len(jobs)} to train", flush=True)
    with path.open("a") as stream:
        for first in range(0, len(jobs), CHUNK):
            if time.monotonic() > end:
                break
            chunk = jobs[first : first + CHUNK]
            for outcome in engine.map(learning_curve, chunk):
                if outcome.value is None:
                    raise SystemExit(outcome.error)
                scores = [[score.metrics, score.size, score.seconds] for score in outcome.value]
                stream.write(json.dumps([genes_of[first + outcome.index], scores]) + "\n")
                stream.flush()


class Recorded:
    """An engine that looks trainings up."""

    def __init__(self, folder: Path, genes: Iterable[str]) -> None:
        self.table, self.genes = recorded(folder / CURVES), list(genes)
        self.work = 0.0  # seconds that the trainings looked up took when they were recorded

    def map(self, function: Callable[[Any], Any], jobs: Sequence[Any]) -> Iterator[Outcome[Any]]:
        for index, job in enumerate(jobs):
            if not isinstance(job, RungJob):
                yield Outcome(index, function(job), None, 1)
                continue
            stops = [stop(share, job.spec.solver.max_iter) for share in SHARES]
            rung, before = stops.index(job.until), stops.index(job.since) if job.since else -1
            scores = self.table[key_of(job.spec, self.genes)]
            self.work += sum(score.seconds for score in scores[before + 1 : rung + 1])
            score = scores[rung]
            yield Outcome(index, score if score.metrics else None, None if score.metrics else "it diverged", 1)

    def close(self) -> None:
        pass


if __name__ == "__main__":
    main()
