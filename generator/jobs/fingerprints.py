"""Hashes of files, by which work that is done already is known again."""

import hashlib
from pathlib import Path
from typing import Protocol

__all__ = ["Digest", "add_content", "sha256_of"]

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


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of the content of a file, 64 hex digits."""
    digest = hashlib.sha256()
    add_content(digest, path)
    return digest.hexdigest()
