"""A tiny shop with a rule to learn: the item bought is the newest page, shifted by the last purchase."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_plan import write_plan

from generator.data.sessions.ragged import Sessions
from generator.data.stages.write import write_split
from generator.jobs.workers import Outcome, answer
from generator.spec.schema import Spec
from generator.tuning.plan import TuningPlan, load_plan

PAGES, ITEMS = 12, 10


class Inline:
    """An engine in this process: the whole of what an engine must do."""

    def __init__(self):
        self.jobs = []

    def map(self, function: Callable[[Any], Any], jobs: Sequence[Any]) -> Iterator[Outcome[Any]]:
        for index, job in enumerate(jobs):
            self.jobs.append(job)
            found = answer(function, job)
            yield Outcome(index, found.value, found.error, 1, found.machine)

    def close(self) -> None:
        pass


def sessions(count: int, seed: int, *, training: bool) -> Sessions:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 6, count)
    page = rng.integers(1, PAGES + 1, lengths.sum()).astype(np.int32)
    bought = rng.integers(1, ITEMS + 1, 2 * count).astype(np.int32)
    offset = np.concatenate([[0], np.cumsum(lengths)])
    return Sessions(
        offset=offset,
        page=page,
        dwell=np.ones(len(page), np.float32),
        bought_offset=np.arange(count + 1) * 2,
        bought=bought,
        start=np.arange(count, dtype=np.float64),
        user=np.full(count, -1, np.int32),
        label=((page[offset[1:] - 1] + bought[1::2]) % ITEMS + 1).astype(np.int32),
        training=training,
    )


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """A data folder: 160 sessions to train on, 60 to validate."""
    folder = tmp_path_factory.mktemp("shop")
    spec = Spec.model_validate(
        {
            "name": "tiny",
            "net": "combined",
            "pages": PAGES,
            "items": ITEMS,
            "top_k": 3,
            "rnn": {"window": 2, "widths": [8]},
            "fnn": {"bought": 2, "widths": [8]},
        }
    )
    write_split(folder / "train.h5", sessions(160, 1, training=True), spec)
    write_split(folder / "valid.h5", sessions(60, 2, training=False), spec)
    (folder / "pages.txt").write_text("".join(f"page-{n}\n" for n in range(1, PAGES + 1)))
    (folder / "items.txt").write_text("".join(f"item-{n}\n" for n in range(1, ITEMS + 1)))
    return folder


@pytest.fixture
def inline() -> Inline:
    """An engine in this process."""
    return Inline()


@pytest.fixture
def make_plan(tmp_path) -> Callable[..., TuningPlan]:
    """The factory of plans: PLAN with pieces of text replaced."""

    def make(*replaced: tuple[str, str]) -> TuningPlan:
        return load_plan(write_plan(tmp_path / "plan.yaml", *replaced))

    return make
