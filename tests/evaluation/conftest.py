"""Fixtures of a tiny shop, see shoppers.py."""

from pathlib import Path

import numpy as np
import pytest
from histories import random_sessions, write
from shoppers import ITEMS, PAGES, TEST, TRAIN, write_model, write_part

from generator.data.sessions.ragged import Sessions


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with the sessions TRAIN and TEST."""
    data = tmp_path / "shoppers"
    data.mkdir()
    (data / "pages.txt").write_text("".join(f"{label}\n" for label in PAGES))
    (data / "items.txt").write_text("".join(f"{label}\n" for label in ITEMS))
    write_part(data / "train.h5", TRAIN)
    write_part(data / "test.h5", TEST)
    return data


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with one exported model, tiny, in version 1."""
    write_model(tmp_path / "run" / "models" / "tiny" / "1" / "model.onnx")
    return tmp_path / "run"


@pytest.fixture(params=["next", "purchase"])
def random_folder(request, tmp_path) -> tuple[Path, Sessions, Sessions]:
    random = np.random.default_rng(5)
    train = random_sessions(random, 80, request.param == "purchase")
    test = random_sessions(random, 25, request.param == "purchase", unknown=True)
    return write(tmp_path, train, test), train, test
