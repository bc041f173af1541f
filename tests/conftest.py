"""Fixtures every floor uses."""

import signal
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# A shell starts what it puts in the background with SIGINT ignored, and so would be every command that the tests stop.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real click-streams; the test is skipped where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the real click-streams are not here: {folder.name} is absent beside the checkout")
    return folder
