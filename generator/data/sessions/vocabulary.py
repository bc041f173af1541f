"""Original ids of pages and items as whole numbers 1..N; 0 means none."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from generator.errors import DataError
from generator.files import check_whole, write_text

__all__ = ["Vocabulary"]


class Vocabulary:
    """The ids of one table: label ``k`` (counted from 1) has id ``k``.

    Parameters
    ----------
    labels
        Original ids, in the order of their ids.
    source
        What error messages call this vocabulary: its file.

    Raises
    ------
    DataError
        A label is empty, holds a line break or occurs twice.
    """

    def __init__(self, labels: Iterable[str], source: str = "the vocabulary") -> None:
        self.labels: tuple[str, ...] = tuple(labels)
        self._ids: dict[str, int] = {}
        for number, label in enumerate(self.labels, start=1):
            if not label:
                raise DataError(f"{source}: line {number} is empty, but every line must name an id")
            if "\n" in label or "\r" in label:
                raise DataError(f"{source}: id {label!r} holds a line break: one id a line cannot hold it")
            if label in self._ids:
                raise DataError(f"{source}: line {number} repeats {label!r} of line {self._ids[label]}: each id once")
            self._ids[label] = number

    def __len__(self) -> int:
        return len(self.labels)

    def ids(self, labels: Sequence[str]) -> NDArray[np.int32]:
        """Return the ids of ``labels``, int32 of the same length; 0 where a label is unknown."""
        return np.fromiter((self._ids.get(label, 0) for label in labels), np.int32, count=len(labels))

    def find(self, labels: Sequence[str]) -> list[int]:
        """Return the ids of a few ``labels``, as `ids` does, without an array."""
        return [self._ids.get(label, 0) for label in labels]

    def label(self, identity: int) -> str:
        """Return the original id behind ``identity`` (1..N); DataError for any other number."""
        if not 1 <= identity <= len(self.labels):
            raise DataError(f"id {identity} is not in the vocabulary: it runs from 1 to {len(self.labels)}")
        return self.labels[identity - 1]

    def write(self, path: Path) -> None:
        """Write one label a line to ``path`` (UTF-8, line number = id), whole or not at all."""
        write_text(path, "".join(f"{label}\n" for label in self.labels))

    @classmethod
    def read(cls, path: Path) -> "Vocabulary":
        """Read the file that ``write`` makes; DataError names the file and the line that does not hold."""
        check_whole(path.parent)
        try:
            text = path.read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"cannot read the vocabulary {path}: {error}") from error
        lines = text.split("\n")
        if lines[-1]:
            raise DataError(f"{path}: line {len(lines)} has no line end: the file is cut short")
        return cls(lines[:-1], source=str(path))
