"""Fixtures for the tests that run heavy peers."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from caffe_process import Caffe
from peers import CAFFE, caffe_python


@pytest.fixture(scope="session")
def caffe(root: Path) -> Iterator[Caffe]:
    """Real Caffe 1.0; the tests that need it are skipped, loudly, where it is not installed."""
    python = caffe_python(root)
    check = subprocess.run([python, "-c", "import caffe"], capture_output=True, text=True, check=False)
    if check.returncode:
        pytest.fail(f"{python} cannot import caffe; {CAFFE}\n{check.stderr[-2000:]}")
    with Caffe(python) as client:
        yield client
