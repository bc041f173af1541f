"""Hashes of files, by which work that is done already is known again."""

from pathlib import Path
from typing import Protocol

__all__ = ["Digest", "add_content"]

BLOCK = 2**20  # bytes read at a time


class Digest(Protocol):
    """A hash of `hashlib`."""

    def update(self, data: bytes, /) -> None:
        """Take in more bytes."""


def add_content(digest: Digest, path: Path) -> None:
    """Take the content of a file into ``digest``, a block at a time."""
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
