"""The exceptions of drn, all under one root.

DrnError                what drn says to its user in words; exit status 2
├── SpecError           a spec file that does not hold; carries every finding at once
├── TemplateError       a user's template that does not hold; with file and line
├── DataError           an event log, HDF5 file, vocabulary or request that does not hold
├── ModelError          a prototxt, caffemodel, solverstate or ONNX file that does not hold
└── TrainingError       a training run that cannot go on (NaN loss, no snapshot to resume)
"""

import importlib.util
from collections.abc import Sequence
from typing import Any

__all__ = [
    "EXTRAS",
    "DataError",
    "DrnError",
    "ModelError",
    "SpecError",
    "TemplateError",
    "TrainingError",
    "in_words",
    "lacking",
    "pip_install",
    "require_package",
]

# The extra that brings a package, for the message where one is not installed.
EXTRAS = {
    "faiss": "index",
    "fsspec": "scale",
    "implicit": "eval",
    "matplotlib": "eval",
    "mlflow": "mlflow",
    "optuna": "tune",
    "polars": "data",
    "prometheus_client": "serve",
    "pymongo": "serve",
    "ray": "scale",
    "scipy": "eval",
    "starlette": "serve",
    "tensorboardX": "watch",
    "torch": "scale",
    "uvicorn": "serve",
}

DISTRIBUTION = "drn-recommender"  # on PyPI the name drn is another project's


class DrnError(Exception):
    """A mistake the user can fix: says what was seen, where, and what would be right."""


class SpecError(DrnError):
    """A spec or a plan that does not hold.

    Attributes
    ----------
    findings
        What is wrong and where, a `generator.spec.findings.Finding` each; empty where no one place is to blame.
    """

    def __init__(self, message: str, findings: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.findings = tuple(findings)


class TemplateError(DrnError):
    """A user's template that does not hold."""


class DataError(DrnError):
    """Data that does not hold."""


class ModelError(DrnError):
    """A model file that does not hold."""


class TrainingError(DrnError):
    """A training run that cannot go on."""


def in_words(error: BaseException) -> str:
    """Return what happened, and to which file, in one line."""
    if isinstance(error, DrnError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        files = " -> ".join(str(each) for each in (error.filename, error.filename2) if each is not None)
        wanted = ", where a folder is wanted" if isinstance(error, FileExistsError) else ""
        return f"{files or 'the system'}: {error.strerror}{wanted}"
    if isinstance(error, MemoryError):
        return f"there is not enough memory ({str(error) or 'no more could be had'}): take a smaller net or less data"
    return f"{type(error).__name__}: {error or 'no details'}"


def pip_install(extra: str) -> str:
    """Return the command that installs an extra, as a message shows it.

    >>> pip_install("eval")
    "pip install 'drn-recommender[eval]'"
    """
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def lacking(package: str, what: str) -> str:
    """Return that ``what`` needs a package of EXTRAS that is not installed, and how to install it.

    >>> lacking("optuna", "drn tune")
    "drn tune needs optuna, which is not installed: pip install 'drn-recommender[tune]'"
    """
    return f"{what} needs {package}, which is not installed: {pip_install(EXTRAS[package])}"


def require_package(package: str, what: str) -> None:
    """Refuse ``what`` with DrnError where a package of EXTRAS is not installed, before any work is done."""
    if importlib.util.find_spec(package) is None:
        raise DrnError(lacking(package, what))
