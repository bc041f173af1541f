"""One pass over a split: every model and every baseline ranks all items for every row."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.data.threads import ahead
from generator.errors import DataError
from generator.evaluation.baseline import Baseline, Choice, label_counts
from generator.evaluation.coverage import Coverage
from generator.evaluation.metrics import HEADLINES, Interval, Tally
from generator.evaluation.ranking import Ranking, Ties, joined, ranked
from generator.evaluation.rows import RowBatch, SplitRows
from generator.jobs.cpus import available
from generator.model.model import Model

__all__ = ["Difference", "Method", "Report", "evaluate", "row_ranks"]

ROWS, SCORES = 128, 2**20  # scored at a time, at most: enough for a fast product, few enough for a core's cache


@dataclass(frozen=True)
class Method:
    """What one method reached."""

    name: str
    kind: str  # model or baseline
    metrics: Mapping[str, Interval]  # by METRICS
    recommended: Mapping[str, float]  # coverage and popularity, see `Coverage`
    settings: Mapping[str, Any]  # of a baseline, by argument
    choice: Choice | None  # of the settings, where they were chosen


@dataclass(frozen=True)
class Difference:
    """How far one method is ahead of another, on the same rows and the same resampled sessions."""

    method: str
    other: str
    metrics: Mapping[str, Interval]  # by METRICS


@dataclass(frozen=True, repr=False)
class Report:
    """The outcome of an evaluation."""

    data: str  # name of the data folder
    split: str
    items: int
    rows: int
    sessions: int
    unknown: int  # rows whose true item has no id, in the vocabulary or among the slots: a miss for every method
    ties: Ties
    methods: tuple[Method, ...]
    differences: tuple[Difference, ...]  # of every method and every one after it

    def __getitem__(self, method: str) -> Mapping[str, Interval]:
        """Return the metrics of a method by their names; KeyError where there is none of that name."""
        found = {each.name: each.metrics for each in self.methods}
        if method not in found:
            raise KeyError(f"no method {method!r}: there are {', '.join(found)}")
        return found[method]

    def __repr__(self) -> str:
        """Return a table of the headline metrics, a method a line."""
        width = max(len(method.name) for method in self.methods)
        lines = [f"{self.data}, {self.split}: {self.rows:,} rows", " " * width + "".join(f"{n:>9}" for n in HEADLINES)]
        for method in self.methods:
            figures = "".join(f"{method.metrics[name].value:9.3f}" for name in HEADLINES)
            lines.append(f"{method.name:<{width}}{figures}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Return the same table with the intervals, for notebooks."""
        head = "".join(f"<th>{name}</th>" for name in ("method", *HEADLINES))
        rows = ""
        for method in self.methods:
            cells = [method.metrics[name] for name in HEADLINES]
            rows += f"<tr><td>{escape(method.name)}</td>" + "".join(
                f"<td>{cell.value:.3f} ± {cell.half:.3f}</td>" for cell in cells
            )
        return f"<table><caption>{escape(self.data)}, {self.split}</caption><tr>{head}</tr>{rows}</table>"

    def as_json(self) -> dict[str, Any]:
        """Return the report in plain dicts, lists and numbers."""
        return asdict(self)


def evaluate(
    models: Mapping[str, Model],
    data: Path,
    baselines: Sequence[Baseline] = (),
    *,
    split: str = "test",
    ties: Ties = "median",
    batch_size: int = 512,
    threads: int = 1,
    replicates: int = 1000,
    seed: int = 0,
    step: Callable[[int, int], None] | None = None,
    watch: Callable[[RowBatch, Mapping[str, Ranking]], None] | None = None,
) -> Report:
    """Rank all items for every row of a split by every method, in one pass and constant memory.

    Parameters
    ----------
    models : exported models by the name to report; their vocabularies must be those of ``data``
    data : folder written by `drn sessions`
    baselines : fitted here on the training split
    split : ``test`` or ``valid``
    ties : which rank an item gets that others tie with, see `tied_ranks`
    batch_size : rows a thread takes at a time
    threads : that rank, while this one reads and tallies; 0 takes all cores. The figures do not depend on their number.
    replicates, seed : of the bootstrap, see `Tally`
    step : called after each batch with the rows done and their total
    watch : called with each batch, in order, and how each method ranks it, by name

    Raises
    ------
    DataError : there is nothing to evaluate, or a model is of other data.
    ModelError : a model gives NaN or fails.
    """
    methods: dict[str, Model | Baseline] = {**models, **{baseline.name: baseline for baseline in baselines}}
    names = [*models, *(baseline.name for baseline in baselines)]
    if not methods:
        raise DataError("there is nothing to evaluate: give a run, or baselines other than none")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"two methods are named {twice[0]}: give each its own name")
    tally, unknown = Tally(names, replicates, seed), 0
    with SplitRows(data, split) as rows:
        if len(rows) == 0:
            raise DataError(f"{rows.path}: it has no row to evaluate")
        for model in models.values():
            _same_vocabularies(model, rows)
        with SplitRows(data, "train") as train:
            for baseline in baselines:
                baseline.fit(train)
            counts = label_counts(train)
        recommended = {name: Coverage(counts[: len(rows.items) + 1]) for name in names}
        work = partial(_rank_all, methods, ties)
        for batch, found in ahead(work, rows.batches(batch_size), threads or available()):
            tally.add({name: ranking.rank for name, ranking in found.items()}, batch.session)
            for name, ranking in found.items():
                recommended[name].add(ranking.top)
            unknown += int(np.count_nonzero(batch.label == 0))
            if watch:
                watch(batch, found)
            if step:
                step(tally.rows, len(rows))
        items = len(rows.items)
    return Report(
        data=data.resolve().name,
        split=split,
        items=items,
        rows=tally.rows,
        sessions=tally.sessions,
        unknown=unknown,
        ties=ties,
        methods=tuple(
            Method(
                name=name,
                kind="model" if isinstance(method, Model) else "baseline",
                metrics=tally.estimates(name),
                recommended=recommended[name].figures(),
                settings={} if isinstance(method, Model) else method.settings,
                choice=None if isinstance(method, Model) else method.choice,
            )
            for name, method in methods.items()
        ),
        differences=tuple(
            Difference(one, two, tally.differences(one, two))
            for index, one in enumerate(names)
            for two in names[index + 1 :]
        ),
    )


def row_ranks(
    method: Model | Baseline, data: Path, *, split: str = "test", batch_size: int = 512, threads: int = 1
) -> NDArray[np.float64]:
    """Return the rank of every row's label by one method, (R,) in the order of the split; infinity is a miss.

    Parameters
    ----------
    method : a model whose vocabularies are those of ``data``, or a baseline, fitted here
    data, split, batch_size, threads : as in `evaluate`

    Raises
    ------
    DataError, ModelError : as `evaluate`.
    """
    if not isinstance(method, Model):
        with SplitRows(data, "train") as train:
            method.fit(train)
    with SplitRows(data, split) as rows:
        if len(rows) == 0:
            raise DataError(f"{rows.path}: it has no row to evaluate")
        if isinstance(method, Model):
            _same_vocabularies(method, rows)
        work, batches = partial(_rank, method, "median"), rows.batches(batch_size)
        return np.concatenate([found.rank for _, found in ahead(work, batches, threads or available())])


def _same_vocabularies(model: Model, rows: SplitRows) -> None:
    for kind, ours, theirs in (("pages", model.pages, rows.pages), ("items", model.items, rows.items)):
        if ours.labels != theirs.labels:
            raise DataError(
                f"{model.file.parent / kind}.txt and {rows.path.parent / kind}.txt differ, so the model's ids are not "
                "the data's: evaluate on the data folder the model was trained on"
            )
    if model.slots != rows.slots:
        counts = [slots.count if slots else 0 for slots in (model.slots, rows.slots)]
        raise DataError(
            f"{model.file} has {counts[0]} slots and {rows.path} {counts[1]}: "
            "evaluate on the data folder the model was trained on"
        )


def _rank_all(methods: Mapping[str, Model | Baseline], ties: Ties, batch: RowBatch) -> dict[str, Ranking]:
    return {name: _rank(method, ties, batch) for name, method in methods.items()}


def _rank(method: Model | Baseline, ties: Ties, batch: RowBatch) -> Ranking:
    """Return how a method ranks a batch; items of a model's graph beyond the vocabulary take no part."""
    if not isinstance(method, Model):
        return method.rank(batch, ties)
    inputs, parts = batch.inputs(method.sizes), []
    step = min(ROWS, max(2, SCORES // method.width))
    for start in range(0, len(batch), step):
        rows = slice(start, start + step)
        scores = method.scores({name: values[rows] for name, values in inputs.items()})
        parts.append(ranked(_of_batch(scores, batch), batch.label[rows], ties))
    return joined(parts)


def _of_batch(scores: NDArray[np.float32], batch: RowBatch) -> NDArray[np.float32]:
    """Return the scores of "none" and of what the batch ranks: the items of its vocabulary, and its slots."""
    slots, known = batch.split.slots, len(batch.split.items) + 1
    return np.concatenate([scores[:, :known], scores[:, slots.after + 1 :]], axis=1) if slots else scores[:, :known]
