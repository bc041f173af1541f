"""Data folders of sessions given as lists, and the scores of their rows."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from generator.data.sessions.ragged import Sessions
from generator.data.sessions.vocabulary import Vocabulary
from generator.data.stages.write import write_split
from generator.evaluation.rows import SplitRows
from generator.spec.schema import Data, Rnn, Spec

ITEMS = 12


def sessions_of(views, labels=None, bought=None, start=None, user=None) -> Sessions:
    """Sessions from lists of page ids; without labels the next page is the target."""
    bought = bought or [[] for _ in views]
    return Sessions(
        offset=np.cumsum([0, *map(len, views)]),
        page=np.array([page for one in views for page in one], np.int32),
        dwell=np.ones(sum(map(len, views)), np.float32),
        bought_offset=np.cumsum([0, *map(len, bought)]),
        bought=np.array([item for one in bought for item in one], np.int32),
        start=np.arange(len(views), dtype=np.float64) if start is None else np.asarray(start, np.float64),
        user=np.full(len(views), -1, np.int32) if user is None else np.asarray(user, np.int32),
        label=None if labels is None else np.array(labels, np.int32),
    )


def write(folder: Path, train: Sessions, test: Sessions, items: int = ITEMS) -> Path:
    """Write a data folder whose pages and items are one vocabulary."""
    target = "next" if train.label is None else "purchase"
    spec = Spec(
        name="x",
        net="rnn",
        pages=items,
        items=items,
        top_k=1,
        rnn=Rnn(window=2, widths=[1]),
        loss="every" if target == "next" else "last",
        data=Data(target=target),
    )
    for name in ("pages.txt", "items.txt"):
        Vocabulary(str(item) for item in range(1, items + 1)).write(folder / name)
    write_split(folder / "train.h5", replace(train, training=True), spec)
    write_split(folder / "test.h5", test, spec)
    return folder


def scored(folder: Path, baseline, size: int = 7) -> np.ndarray:
    """The scores of all test rows, (R, N+1)."""
    with SplitRows(folder, "train") as train:
        baseline.fit(train)
    with SplitRows(folder, "test") as test:
        return np.concatenate([baseline.scores(batch) for batch in test.batches(size)])


def lists(sessions: Sessions) -> list[list[int]]:
    return [one.tolist() for one in np.split(sessions.page, sessions.offset[1:-1])]


def seen(sessions: Sessions) -> list[list[int]]:
    """The known views of each row."""
    if sessions.label is not None:
        rows = lists(sessions)
    else:
        rows = [one[:end] for one in lists(sessions) for end in range(1, len(one))]
    return [[page for page in row if page] for row in rows]


def same_order(row: np.ndarray, votes: dict[int, Fraction], popularity: np.ndarray) -> None:
    """The items are in the order of their votes, those of as many votes and the rest by popularity."""
    items = range(1, len(row))
    keys = [(votes.get(item, Fraction(0)) > 0, votes.get(item, Fraction(0)), popularity[item]) for item in items]
    levels = {key: level for level, key in enumerate(sorted(set(keys)))}
    _, found = np.unique(row[1:], return_inverse=True)
    assert found.tolist() == [levels[key] for key in keys]


def random_sessions(random, count, purchase, unknown=False) -> Sessions:
    sizes = random.integers(2, 9, count)
    views = [(random.zipf(1.4, size) % ITEMS + (0 if unknown else 1)).clip(0, ITEMS - 1).tolist() for size in sizes]
    labels = random.integers(1, ITEMS + 1, count).tolist() if purchase else None
    return sessions_of(views, labels, start=random.permutation(count))
