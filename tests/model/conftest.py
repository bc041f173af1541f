"""A run of a tiny shop, see shoppers.py."""

from pathlib import Path

import pytest
from shoppers import write_model


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with one exported model, tiny, in version 1."""
    write_model(tmp_path / "run" / "models" / "tiny" / "1" / "model.onnx")
    return tmp_path / "run"
