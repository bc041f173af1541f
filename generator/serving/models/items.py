"""What the shop says of its items: read from a file, and again when that changes."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from generator.errors import DrnError
from generator.model.filter import Filter
from generator.serving.models.repository import Repository

__all__ = ["Items"]

Signature = tuple[int, int, int]


class Items:
    """The metadata of the items, if there are any.

    Parameters
    ----------
    file
        As `ItemMetadata` reads it; None: nothing is known of any item.
    repository
        Whose model should know them: how many rows it does not know is logged.
    log
        Where that goes, and why a file was refused.
    only
        Whether nothing but what is in the file is recommended.

    Raises
    ------
    DataError
        The file does not hold.
    OSError
        It cannot be read.
    """

    def __init__(self, file: Path | None, repository: Repository, log: logging.Logger, *, only: bool = False) -> None:
        self._file, self._repository, self._log, self._only = file, repository, log, only
        self.about: Callable[[str], dict[str, Any] | None] | None = None  # `ItemMetadata.of`; None without a file
        self._signature: Signature | None = None
        self.filters: Sequence[Filter] = ()  # what every recommendation passes
        if file is not None:
            self._signature = _signature(file)
            self._read(file)

    def refresh(self) -> None:
        """Read the file again if it has changed; one that does not hold is refused, once, and the last one stays."""
        if self._file is None:
            return
        signature = _signature(self._file)
        if signature == self._signature:
            return
        self._signature = signature
        try:
            self._read(self._file)
        except (DrnError, OSError, MemoryError) as error:
            self._log.error("items", extra={"fields": {"refused": str(error)}})

    def _read(self, file: Path) -> None:
        from generator.model.metadata import ItemMetadata  # here, for it needs polars, which the service does not

        metadata = ItemMetadata(file)
        labels = metadata.labels
        known = self._repository.find(self._repository.name).model.items.ids(labels)
        fields = {
            "items": len(metadata),
            "columns": list(metadata.columns),
            "unknown_to_model": int((known == 0).sum()),
            "images_refused": metadata.images_refused,
            "mib": round(metadata.bytes / 2**20, 1),
        }
        self.about = metadata.of
        if self._only:
            self.filters = [Filter(only=frozenset(labels))]
        self._log.info("items", extra={"fields": fields})


def _signature(file: Path) -> Signature:
    """Return by what a changed file is known."""
    stat = file.stat()
    return (stat.st_ino, stat.st_size, stat.st_mtime_ns)
