"""The Pythons that have a peer installed."""

import os
import warnings
from pathlib import Path

import pytest

CAFFE = "run tests/oracles/install_caffe.sh, or set DRN_CAFFE_PYTHON to a Python that can `import caffe`"


def peer_python(root: Path, variable: str, folder: str, name: str, how: str) -> Path:
    """The Python that has a peer, named by an environment variable or in its folder; else skip, loudly."""
    named = os.environ.get(variable)
    python = Path(named) if named else root / folder / "bin" / "python"
    if not python.exists():
        if named:
            pytest.fail(f"{variable} names {named}, which does not exist")
        warnings.warn(f"{name} is not here, so its tests are SKIPPED; {how}", stacklevel=1)
        pytest.skip(f"{name} is not here; {how}")
    return python


def caffe_python(root: Path) -> Path:
    """The Python that has real Caffe 1.0."""
    return peer_python(root, "DRN_CAFFE_PYTHON", ".caffe-venv", "real Caffe", CAFFE)
