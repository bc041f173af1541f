"""Blobs of more numbers than a blob of Caffe holds: in files of their own, with one virtual dataset over them."""

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from generator.errors import DataError
from generator.files import replacing
from generator.hdf5 import Disk, creating, fill

__all__ = ["PART", "check_parts", "fill_blobs", "parts_of"]

LIMIT = 2**31 - 1  # numbers of a blob: Caffe counts them in an int, and reads a file of the list whole
PART = re.compile(r"(train|valid|test)-\d+\.h5")

Chunk = Mapping[str, NDArray[Any]]


def parts_of(path: Path) -> list[Path]:
    """Return the files of a split that Caffe's list names: its parts, or itself."""
    found = [part for part in path.parent.glob(f"{path.stem}-*.h5") if PART.fullmatch(part.name)]
    return sorted(found, key=lambda part: int(part.stem.rpartition("-")[2])) or [path]


def check_parts(dataset: h5py.Dataset, path: Path) -> None:
    """Refuse a dataset of which a part is missing: HDF5 gives zeros for it."""
    for source in dataset.virtual_sources() if dataset.is_virtual else ():
        if not (path.parent / source.file_name).is_file():
            raise DataError(f"{path}: its part {source.file_name} is missing from the folder")


def fill_blobs(file: h5py.File, path: Path, count: int, chunks: Iterator[Chunk], disk: Disk) -> None:
    """Write the blobs of ``count`` rows to ``file``, which is to be at ``path``; to parts beside it if they are large.

    Raises
    ------
    OSError
        A disk has failed.
    """
    first = next(chunks)
    chunks = chain([first], chunks)
    step = max(1, LIMIT // max(int(np.prod(values.shape[1:])) for values in first.values()))
    if count <= step:
        fill(file, count, chunks, disk)
        return
    layouts = {name: h5py.VirtualLayout((count, *each.shape[1:]), each.dtype) for name, each in first.items()}
    cut = _cut(chunks, step)
    with ExitStack() as stack:  # no part is there before all are whole
        for number, begin in enumerate(range(0, count, step), 1):
            rows, part = min(step, count - begin), path.with_name(f"{path.stem}-{number}.h5")
            with creating(stack.enter_context(replacing(part))) as (beside, own):
                fill(beside, rows, _taken(cut, rows), own)
            for name, layout in layouts.items():
                layout[begin : begin + rows] = h5py.VirtualSource(part.name, name, (rows, *layout.shape[1:]))
    for name, layout in layouts.items():
        file.create_virtual_dataset(name, layout)
    disk.check()


def _cut(chunks: Iterator[Chunk], step: int) -> Iterator[Chunk]:
    """Yield the chunks, cut where one reaches over a multiple of ``step`` rows."""
    done = 0
    for chunk in chunks:
        rows, begin = len(next(iter(chunk.values()))), 0
        while begin < rows:
            end = min(rows, begin + step - done % step)
            yield {name: values[begin:end] for name, values in chunk.items()}
            done += end - begin
            begin = end


def _taken(chunks: Iterator[Chunk], rows: int) -> Iterator[Chunk]:
    """Yield the next chunks, of ``rows`` rows together."""
    while rows:
        chunk = next(chunks)
        yield chunk
        rows -= len(next(iter(chunk.values())))
