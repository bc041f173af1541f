"""What a fit can be asked for beside the log."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from generator.data.log.importers import MAX_BAD
from generator.data.log.sources import Frame, Source
from generator.errors import DataError
from generator.fitting.look import Given

__all__ = ["FitOptions", "Listener"]


@dataclass(frozen=True)
class FitOptions:
    """What a fit can be asked for beside the log.

    Attributes
    ----------
    given
        What is known of the log.
    tests
        Sources whose sessions are the test part; without any it is the newest sessions.
    target, level
        purchase or next, item or category; None: as the log suggests.
    minutes
        That the whole may take.
    overrides
        Fields of the spec as ``rnn.window=8``, over what is chosen.
    gap, max_bad
        As for `drn sessions`.
    seed
        Of the initial weights and the batches.
    tune
        Whether `drn tune` searches around the best candidate, for half of the minutes.
    name
        Of the model; None: after the log.
    """

    given: Given = field(default_factory=Given)
    tests: Sequence[Source] = ()
    target: str | None = None
    level: str | None = None
    minutes: float = 10.0
    overrides: tuple[str, ...] = ()
    gap: float | None = None
    max_bad: float = MAX_BAD
    seed: int = 1
    tune: bool = False
    name: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.minutes < math.inf:
            raise DataError(f"--minutes is {self.minutes}: a number above 0 is wanted")

    def identity(self, sources: Sequence[Source]) -> dict[str, Any]:
        """Return what a fit that goes on must have been begun with, in plain values."""
        return {
            "log": [_known_by(source) for source in sources],
            "test": [_known_by(source) for source in self.tests],
            "log-format": self.given.form,
            "columns": dict(self.given.columns),
            "events": dict(self.given.words),
            "target": self.target,
            "level": self.level,
            "minutes": self.minutes,
            "set": list(self.overrides),
            "gap": self.gap,
            "max-bad": self.max_bad,
            "seed": self.seed,
            "tune": self.tune,
            "name": self.name,
        }


def _known_by(source: Source) -> list[Any]:
    """Return what tells a source from another: its name and its size."""
    if isinstance(source, Frame):
        return [source.name, source.table.height]
    return [source.name, source.stat().st_size if source.is_file() else 0]


@dataclass(frozen=True)
class Listener:
    """Who hears of a fit: of a sentence, and of work under way by its name, what is done of it and its total."""

    note: Callable[[str], None] = lambda _: None
    progress: Callable[[str, float, float], None] = lambda _name, _done, _total: None
