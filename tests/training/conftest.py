"""A small shop with a rule to learn: the next item is the newest page, shifted by the last purchase."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from generator.spec.schema import Spec

PAGES, ITEMS, WINDOW, HISTORY, BOUGHT = 12, 10, 3, 2, 2


def small_spec(**changes: Any) -> Spec:
    """Return the spec of a small combined net; ``solver`` is merged, other fields are replaced."""
    solver = {
        "batch_size": 16,
        "base_lr": 0.2,
        "max_iter": 30,
        "display": 10,
        "snapshot": 10,
        "test_interval": 15,
        "test_iter": 4,
        "random_seed": 7,
        **changes.pop("solver", {}),
    }
    fields = {
        "name": "small",
        "net": "combined",
        "pages": PAGES,
        "items": ITEMS,
        "rnn": {"window": WINDOW, "widths": [8, 6], "history": HISTORY},
        "fnn": {"bought": BOUGHT, "widths": [5]},
        "top_k": 3,
        "init": {"table": {"type": "gaussian", "std": 0.3}},
        **changes,
    }
    return Spec.model_validate({**fields, "solver": solver})


def write_split(path: Path, rows: int, seed: int, *, every: bool = False) -> None:
    """Write a split of ``rows`` sessions as `drn sessions` does."""
    rng = np.random.default_rng(seed)
    page = rng.integers(1, PAGES + 1, (rows, WINDOW))
    page[np.arange(WINDOW) < rng.integers(0, WINDOW, rows)[:, None]] = 0
    history = rng.integers(1, PAGES + 1, (rows, HISTORY)) * (page[:, :1] > 0)
    bought = rng.integers(0, ITEMS + 1, (rows, BOUGHT))
    label = (page[:, -1] + bought[:, -1]) % ITEMS + 1
    with h5py.File(path, "w") as file:
        file["page"] = page.astype(np.int32)
        file["history_page"] = history.astype(np.int32)
        file["history_weight"] = (rng.random((rows, HISTORY)) * (history > 0)).astype(np.float32)
        file["bought"] = bought.astype(np.int32)
        file["bought_weight"] = (bought > 0).astype(np.float32)
        file["label"] = (label[:, None] * (page > 0) if every else label).astype(np.int32)
        file["rows/session"] = np.arange(rows, dtype=np.int32)
        file["rows/position"] = np.full(rows, WINDOW, np.int32)
        file["rows/unknown"] = np.zeros(rows, np.uint8)


@pytest.fixture
def make_spec() -> Callable[..., Spec]:
    """The factory of small specs."""
    return small_spec


@pytest.fixture
def make_data(tmp_path: Path) -> Callable[..., Path]:
    """The factory of the data folder: 100 training rows, 40 test rows."""

    def make(*, every: bool = False) -> Path:
        folder = tmp_path / "data"
        folder.mkdir()
        write_split(folder / "train.h5", 100, 1, every=every)
        write_split(folder / "test.h5", 40, 2, every=every)
        (folder / "pages.txt").write_text("".join(f"page-{n}\n" for n in range(1, PAGES + 1)))
        (folder / "items.txt").write_text("".join(f"item-{n}\n" for n in range(1, ITEMS + 1)))
        return folder

    return make


@pytest.fixture
def data(make_data: Callable[..., Path]) -> Path:
    """A data folder with labels at the last state."""
    return make_data()
