"""What a net reached beside every rule, as a whole and on rows of a kind."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.errors import DrnError
from generator.evaluation.baselines import BASELINES, Baseline, choose
from generator.evaluation.evaluate import Report, evaluate, row_ranks
from generator.evaluation.metrics import CUTOFF
from generator.evaluation.rows import SplitRows
from generator.fitting.options import Listener
from generator.model.model import Model
from generator.model.query import Query

__all__ = ["METRIC", "Group", "Shown", "best_rule", "compare", "groups_of", "rules", "sessions_shown", "without_pairs"]

METRIC = "MRR@20"
VIEWS = ((1, 1), (2, 2), (3, 3), (4, 5), (6, 10), (11, None))
COUNTS = ((0, 0), (1, 5), (6, 20), (21, 100), (101, None))
SESSIONS, ITEMS, PAGES = 10, 5, 12  # shown: sessions, items recommended in each, pages viewed last


@dataclass(frozen=True)
class Group:
    """Rows of a kind: what they have in common, their number, and by method the hit rate @20 and the MRR@20."""

    name: str
    rows: int
    figures: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Shown:
    """A session of the test part: the pages viewed, what was recommended then, what came, and its place (0: none)."""

    pages: tuple[str, ...]
    before: int
    items: tuple[tuple[str, float], ...]
    came: str
    place: int


def rules(listener: Listener) -> list[Baseline]:
    """Return every baseline that can run here; of the others the listener hears."""
    return [rule for name in BASELINES if (rule := _rule(name, listener))]


def _rule(name: str, listener: Listener) -> Baseline | None:
    try:
        return choose([name])[0]
    except DrnError as error:
        listener.note(f"{name} is left out of the comparison: {error}")
        return None


def compare(models: Mapping[str, Path], data: Path, split: str, listener: Listener) -> Report:
    """Rank all items for every row of a split by models and by every rule that can run here."""
    return evaluate(
        {name: Model(path) for name, path in models.items()},
        data,
        rules(listener),
        split=split,
        threads=0,
        step=lambda done, rows: listener.progress(f"compare, {split}", done, rows),
    )


def best_rule(report: Report) -> str:
    """Return the name of the baseline that is ahead of the others."""
    found = [each for each in report.methods if each.kind == "baseline"]
    return max(found, key=lambda each: each.metrics[METRIC].value).name


def without_pairs(report: Report, wanted: Sequence[str]) -> dict[str, Any]:
    """Return a report as JSON has it, of the differences of two methods only those of the ``wanted``."""
    return {**report.as_json(), "differences": [asdict(each) for each in report.differences if each.method in wanted]}


def groups_of(model: Path, rule: str, data: Path) -> dict[str, list[Group]]:
    """Return how the net and a rule do on the test rows by views seen, and by how often the label is one in training.

    The labels that training does not know are a miss for both.
    """
    ranks = {
        "net": row_ranks(Model(model), data, threads=0),
        rule: row_ranks(choose([rule])[0], data, threads=0),
    }
    label, position = [], []
    with SplitRows(data, "test") as rows:
        for batch in rows.batches(4096):
            label.append(batch.label)
            position.append(batch.position)
        items = len(rows.items)
    counts = np.zeros(items + 1, np.int64)
    with SplitRows(data, "train") as train:
        for some in train.labels():
            counts += np.bincount(some, minlength=items + 1)
    counts[0] = 0
    trained = counts[np.concatenate(label)]
    return {
        "views": _groups(np.concatenate(position), VIEWS, ranks),
        "popularity": _groups(trained, COUNTS, ranks),
    }


def _groups(
    values: NDArray[np.int64], bounds: Sequence[tuple[int, int | None]], ranks: Mapping[str, NDArray[np.float64]]
) -> list[Group]:
    found = []
    for low, high in bounds:
        within = (values >= low) & (values <= (np.iinfo(np.int64).max if high is None else high))
        if not within.any():
            continue
        name = f"{low}" if low == high else f"{low} or more" if high is None else f"{low} to {high}"
        figures = {method: _figures(rank[within]) for method, rank in ranks.items()}
        found.append(Group(name, int(within.sum()), figures))
    return found


def _figures(rank: NDArray[np.float64]) -> tuple[float, float]:
    hit = rank <= CUTOFF
    return float(hit.mean()), float(np.where(hit, 1 / rank, 0).mean())


def sessions_shown(model: Path, data: Path) -> list[Shown]:
    """Return ten sessions of the test part, at equal distances: the last row of each whose label is known."""
    net = Model(model)
    with SplitRows(data, "test") as rows:
        session, label, position = (
            np.concatenate(each)
            for each in zip(*((b.session, b.label, b.position) for b in rows.batches(4096)), strict=True)
        )
        known = np.flatnonzero((label > 0) & (position > 0))
        last = known[np.append(session[known][1:] != session[known][:-1], True)] if len(known) else known
        chosen = last[np.unique(np.linspace(0, len(last) - 1, SESSIONS).round().astype(int))] if len(last) else last
        found = []
        for row in chosen:
            seen = rows.seen(session[row : row + 1], position[row : row + 1])
            pages = [rows.pages.label(int(page)) for page in seen.page]
            bought = [rows.items.label(int(item)) for item in seen.bought if item]
            query = Query(list(zip(pages, seen.dwell.tolist(), strict=True)), bought)
            (answer,) = net.recommend([query])
            came = rows.items.label(int(label[row]))
            places = [place for place, (item, _) in enumerate(answer.items, 1) if item == came]
            shown = tuple(pages[-PAGES:])
            found.append(Shown(shown, len(pages) - len(shown), answer.items[:ITEMS], came, places[0] if places else 0))
    return found


def as_json(values: Mapping[str, Sequence[Group]] | Sequence[Shown]) -> Any:
    """Return groups or sessions in plain dicts, lists and numbers."""
    if isinstance(values, Mapping):
        return {name: [asdict(each) for each in some] for name, some in values.items()}
    return [asdict(each) for each in values]
