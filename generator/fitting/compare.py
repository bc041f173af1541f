"""What a net reached beside every rule, as a whole and on rows of a kind."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.data.sessions.vocabulary import Vocabulary
from generator.data.stages.write import write_split
from generator.data.store.split import read_kept, read_sessions
from generator.errors import DrnError
from generator.evaluation.baseline import label_counts
from generator.evaluation.baselines import BASELINES, Baseline, choose
from generator.evaluation.evaluate import Report, evaluate
from generator.evaluation.metrics import CUTOFF
from generator.evaluation.ranking import Ranking
from generator.evaluation.rows import RowBatch, SplitRows
from generator.fitting.options import Listener
from generator.model.model import Model
from generator.model.query import Query
from generator.spec.schema import Spec

__all__ = [
    "FEWEST",
    "METRIC",
    "SESSIONS",
    "Compared",
    "Group",
    "RowRanks",
    "Shown",
    "best",
    "compare",
    "extended",
    "figure",
    "rules",
    "sampled_test",
    "sessions_shown",
    "without_pairs",
]

METRIC = "MRR@20"
VIEWS = ((1, 1), (2, 2), (3, 3), (4, 5), (6, 10), (11, None))
COUNTS = ((0, 0), (1, 5), (6, 20), (21, 100), (101, None))
SHOWN, ITEMS, PAGES = 10, 5, 12  # sessions that are shown, items recommended in each, pages viewed last
FEWEST, SESSIONS = 500, 20_000  # of the test part that are compared: however little time there is, and at most
SAMPLE = "sample"  # the split that holds them, where the test part is larger


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


@dataclass(frozen=True)
class Compared:
    """A report, and what it took: seconds until all rules were fitted, and then to rank all rows."""

    report: Report
    fitting: float
    ranking: float


class RowRanks:
    """The rows of a split and how some methods rank each, collected while all methods do.

    Parameters
    ----------
    methods
        What each method is called here, by its name.
    """

    def __init__(self, methods: Mapping[str, str]) -> None:
        self._methods = methods
        self._label: list[NDArray[np.int64]] = []
        self._position: list[NDArray[np.int64]] = []
        self._ranks: dict[str, list[NDArray[np.float64]]] = {called: [] for called in methods.values()}

    def add(self, batch: RowBatch, found: Mapping[str, Ranking]) -> None:
        """Add a batch and how every method ranks it."""
        self._label.append(batch.label)
        self._position.append(batch.position)
        for name, called in self._methods.items():
            self._ranks[called].append(found[name].rank)

    def groups(self, data: Path) -> dict[str, list[Group]]:
        """Return how the methods do on the rows by views seen, and by how often the label is one in training.

        The labels that training does not know are a miss for all.
        """
        with SplitRows(data, "train") as train:
            counts = label_counts(train)
        ranks = {called: np.concatenate(some) for called, some in self._ranks.items()}
        return {
            "views": _groups(np.concatenate(self._position), VIEWS, ranks),
            "popularity": _groups(counts[np.concatenate(self._label)], COUNTS, ranks),
        }


def compare(
    models: Mapping[str, Model], data: Path, split: str, listener: Listener, ranks: RowRanks | None = None
) -> Compared:
    """Rank all items for every row of a split by models and by every rule that can run here; ``ranks`` hears of it."""
    moments = [time.monotonic()]

    def step(done: int, rows: int) -> None:
        moments.append(time.monotonic())
        listener.progress(f"compare, {split}", done, rows)

    watch = ranks.add if ranks else None
    report = evaluate(models, data, rules(listener), split=split, threads=0, step=step, watch=watch)
    return Compared(report, moments[1] - moments[0], time.monotonic() - moments[1])


def extended(report: dict[str, Any], models: Mapping[str, Model], data: Path, split: str) -> dict[str, Any]:
    """Return a report, as JSON has it, with more models, ranked on the same rows."""
    found = evaluate(models, data, split=split, threads=0)
    return {**report, "methods": [*report["methods"], *found.as_json()["methods"]]}


def best(report: Mapping[str, Any], kind: str) -> str:
    """Return the name of the method of a kind, model or baseline, that is ahead of the others; the first of equals."""
    names: list[str] = [each["name"] for each in report["methods"] if each["kind"] == kind]
    return max(names, key=lambda name: figure(report, name))


def figure(report: Mapping[str, Any], method: str, metric: str = METRIC) -> float:
    """Return a figure of a method in a report, as JSON has it."""
    value: float = next(each["metrics"][metric]["value"] for each in report["methods"] if each["name"] == method)
    return value


def without_pairs(report: Report, wanted: Sequence[str]) -> dict[str, Any]:
    """Return a report as JSON has it, of the differences of two methods only those of the ``wanted``."""
    return {**report.as_json(), "differences": [asdict(each) for each in report.differences if each.method in wanted]}


def sampled_test(data: Path, spec: Spec, most: int) -> str:
    """Return the split to compare on: the test part, or ``most`` of its sessions at equal distances."""
    sessions = read_sessions(data / "test.h5")
    if len(sessions) <= most:
        return "test"
    chosen = np.linspace(0, len(sessions) - 1, most).round().astype(np.int64)
    write_split(data / f"{SAMPLE}.h5", sessions.take(chosen), spec, read_kept(data / "test.h5"))
    return SAMPLE


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


def sessions_shown(net: Model, data: Path, split: str) -> list[Shown]:
    """Return ten sessions of the test part, at equal distances: the last row of each whose label is known."""
    with SplitRows(data, split) as rows:
        session, label, position = (
            np.concatenate(each)
            for each in zip(*((b.session, b.label, b.position) for b in rows.batches(4096)), strict=True)
        )
        known = np.flatnonzero((label > 0) & (position > 0))
        last = known[np.append(session[known][1:] != session[known][:-1], True)] if len(known) else known
        chosen = last[np.unique(np.linspace(0, len(last) - 1, SHOWN).round().astype(int))] if len(last) else last
        found = []
        for row in chosen:
            seen = rows.seen(session[row : row + 1], position[row : row + 1])
            pages = [_name(rows.pages, int(page)) for page in seen.page]
            bought = [rows.items.label(int(item)) for item in seen.bought if item]
            query = Query(list(zip(pages, seen.dwell.tolist(), strict=True)), bought)
            (answer,) = net.recommend([query])
            came = _name(rows.items, int(label[row]))
            places = [place for place, (item, _) in enumerate(answer.items, 1) if item == came]
            shown = tuple(pages[-PAGES:])
            found.append(Shown(shown, len(pages) - len(shown), answer.items[:ITEMS], came, places[0] if places else 0))
    return found


def _name(vocabulary: Vocabulary, identity: int) -> str:
    """Return the page or item behind an id; of a slot, whose page is not kept, that it is new and its number."""
    known = len(vocabulary)
    return vocabulary.label(identity) if identity <= known else f"new page {identity - known}"


def as_json(values: Mapping[str, Sequence[Group]] | Sequence[Shown]) -> Any:
    """Return groups or sessions in plain dicts, lists and numbers."""
    if isinstance(values, Mapping):
        return {name: [asdict(each) for each in some] for name, some in values.items()}
    return [asdict(each) for each in values]
