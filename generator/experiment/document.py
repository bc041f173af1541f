"""The report as a value: what report.json holds, field by field."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from generator.experiment.claims import Claim
from generator.experiment.measures import Figures

__all__ = ["DataFigures", "ExperimentReport", "FoldFigures"]


@dataclass(frozen=True)
class FoldFigures:
    """A division of the data: hash, items, sessions trained on, rows tested on and those of an item without an id."""

    fingerprint: str
    items: int
    training_sessions: int
    test_rows: int
    unknown: int


@dataclass(frozen=True)
class DataFigures:
    """The data: each fold, and the test rows, test sessions and rows of an item without an id of all together."""

    folds: Sequence[FoldFigures]
    test_rows: int
    test_sessions: int
    unknown: int


@dataclass(frozen=True)
class ExperimentReport:
    """What the experiments of a plan came to.

    Attributes
    ----------
    title
        Of the report.
    plan, variants
        The plan and its specs by name, as plain values.
    data
        What was trained and tested on.
    versions
        Of the libraries that the figures may depend on.
    claims
        The paper's, judged.
    experiments
        Figures by name.
    """

    title: str
    plan: Mapping[str, Any]
    variants: Mapping[str, Any]
    data: DataFigures
    versions: Mapping[str, str]
    claims: Sequence[Claim]
    experiments: Mapping[str, Figures]

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)
