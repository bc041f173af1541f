"""What a data folder can be asked for beside the log and the spec."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from generator.data.log.importers import MAX_BAD
from generator.data.sessions.splits import Division
from generator.errors import DataError

__all__ = ["Options"]


@dataclass(frozen=True)
class Options:
    """What `drn sessions` can be asked for beside the log and the spec.

    Attributes
    ----------
    form
        Format of the log, one of formats.FORMAT_NAMES.
    test
        Files or DataFrames whose sessions are the test split.
    columns
        Role to column, for the format `events`.
    events
        What words of the column of events mean: view, buy or other.
    gap
        Minutes between two sessions of a user; where the log has session ids, between two sessions of one id.
    drop_repeats
        Seconds within which the same event of the same user or session counts once.
    division
        How sessions are divided into training, validation and test.
    min_support
        How often a page must occur in the training split to have an id.
    max_bad
        Share of malformed rows that is skipped rather than refused.
    vocabulary
        Which pages and items have an id: those of the training split; all that the log views or buys; those of
        pages.txt and items.txt in another folder, under the ids they have there.
    """

    form: str = "events"
    test: Sequence[Any] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    events: Mapping[str, str] = field(default_factory=dict)
    gap: float | None = None
    division: Division = field(default_factory=Division)
    min_support: int = 1
    max_bad: float = MAX_BAD
    drop_repeats: float | None = None
    vocabulary: Literal["train", "all"] | Path = "train"

    def __post_init__(self) -> None:
        if self.gap is not None and not self.gap > 0:
            raise DataError(f"--gap is {self.gap}: minutes above 0 are wanted")
        if self.drop_repeats is not None and not self.drop_repeats >= 0:
            raise DataError(f"--drop-repeats is {self.drop_repeats}: seconds of at least 0 are wanted")
        if not 0 <= self.max_bad <= 1:
            raise DataError(f"--max-bad is {self.max_bad}: a share from 0 to 1 is wanted")
        if self.min_support > 1 and self.vocabulary != "train":
            raise DataError(
                "--min-support is for the vocabulary of the training part: leave it out with --vocabulary "
                + ("all" if self.vocabulary == "all" else f"{self.vocabulary}, whose ids are taken as they are")
            )
