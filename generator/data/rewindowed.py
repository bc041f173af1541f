"""A data folder made for other windows than those it was written with."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from generator.data.stages.write import rewindow
from generator.files import write_bytes
from generator.spec.schema import Spec

__all__ = ["Rewindow", "remove_unfinished", "rewindow_folder", "window_name"]

UNFINISHED = ".cut-"  # how the name of a folder half made begins
VOCABULARIES = ("pages.txt", "items.txt")


@dataclass(frozen=True)
class Rewindow:
    """The files ``splits`` of the data folder ``source``, to be made for the windows of ``spec`` in ``target``."""

    source: Path
    target: Path
    spec: Spec
    splits: tuple[str, ...]


def window_name(spec: Spec) -> str:
    """Return what the blobs of a spec's data depend on, as the name of a folder."""
    return f"w{spec.window}-h{spec.history}-b{spec.bought}-s{spec.seen}-{spec.loss}"


def rewindow_folder(job: Rewindow) -> None:
    """Make the folder ``job.target``, whole or not at all, unless it is there: its splits and the vocabularies.

    Raises
    ------
    DataError
        The sessions do not fit the spec.
    """
    if job.target.is_dir():
        return
    job.target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=job.target.parent, prefix=UNFINISHED) as name:
        beside = Path(name) / "data"
        beside.mkdir()
        for split in job.splits:
            rewindow(job.source / split, beside / split, job.spec)
        for vocabulary in VOCABULARIES:
            write_bytes(beside / vocabulary, (job.source / vocabulary).read_bytes())
        beside.rename(job.target)


def remove_unfinished(folder: Path) -> None:
    """Remove what a kill has left of the folders that `rewindow_folder` was making in ``folder``."""
    for torn in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(torn, ignore_errors=True)
