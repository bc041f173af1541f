"""Fixtures for the tests that run heavy peers."""

import os
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from caffe_process import Caffe

HOW = "run tests/oracles/install_caffe.sh, or set DRN_CAFFE_PYTHON to a Python that can `import caffe`"


@pytest.fixture(scope="session")
def caffe(root: Path) -> Iterator[Caffe]:
    """Real Caffe 1.0; the tests that need it are skipped, loudly, where it is not installed."""
    named = os.environ.get("DRN_CAFFE_PYTHON")
    python = Path(named) if named else root / ".caffe-venv" / "bin" / "python"
    if not python.exists():
        if named:
            pytest.fail(f"DRN_CAFFE_PYTHON names {named}, which does not exist")
        warnings.warn(f"real Caffe is not here, so its tests are SKIPPED; {HOW}", stacklevel=1)
        pytest.skip(f"real Caffe is not here; {HOW}")
    check = subprocess.run([python, "-c", "import caffe"], capture_output=True, text=True, check=False)
    if check.returncode:
        pytest.fail(f"{python} cannot import caffe; {HOW}\n{check.stderr[-2000:]}")
    with Caffe(python) as client:
        yield client
