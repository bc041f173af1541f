"""A data folder replaced whole or not at all, and what runs that were killed left beside it."""

import ctypes
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from generator.errors import DrnError, ModelError
from generator.files import TORN, naming
from generator.jobs.locks import locked

__all__ = ["beside", "publish", "replacing_folder"]

HERE, EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


@contextmanager
def beside(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``folder``, which goes at the end; what dead runs left of theirs goes first."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{folder.name}.making-"
    for left in folder.parent.glob(f"{prefix}*"):
        # Whoever is still at work has the lock.
        with suppress(DrnError), locked(left):
            shutil.rmtree(left, ignore_errors=True)
    with naming(folder), tempfile.TemporaryDirectory(dir=folder.parent, prefix=prefix) as name, locked(Path(name)):
        yield Path(name)


def publish(new: Path, folder: Path, known: Callable[[str], bool]) -> None:
    """Put the folder ``new``, all of whose files are whole, in the place of ``folder``, by one rename.

    What the folder holds beside files whose names are ``known`` stays: then, and where the file system cannot exchange
    two folders, files are moved one by one, and until the last one is there ``check_whole`` refuses the folder.
    """
    if not folder.exists():
        new.rename(folder)
        return
    held = {entry.name for entry in folder.iterdir()}
    others = any(not known(name) for name in held)
    if others or folder.samefile(Path.cwd()) or not _exchanged(new, folder):
        (folder / TORN).touch()
        for name in sorted({entry.name for entry in new.iterdir()} | set(filter(known, held))):
            if (new / name).exists():
                (new / name).replace(folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
        (folder / TORN).unlink()


@contextmanager
def replacing_folder(folder: Path, mark: str, names: Collection[str]) -> Iterator[Path]:
    """Yield a new folder to write into, which takes the place of ``folder`` at the end, whole or not at all.

    Raises
    ------
    ModelError
        ``folder`` is there, is not empty, and holds no ``mark``, the file by which such a folder is known, or anything
        beside ``names``, the files of such a folder: a run holds the mark of an export, and must not go with it.
    """
    if folder.exists():
        held = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else [folder.name]
        if held and mark not in held:
            raise ModelError(f"{folder}: is there and holds no {mark}, so it is not overwritten; take a new folder")
        if others := [name for name in held if name not in names]:
            what = f"{others[0]}, which is no part of an export"
            raise ModelError(f"{folder}: holds {what}, so it is not overwritten; take a new folder")
    with beside(folder) as place:
        (new := place / "new").mkdir()
        yield new
        publish(new, folder, lambda _: True)


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; return whether the system can."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None:
        return False
    shutil.copymode(other, one)
    return bool(rename(HERE, os.fsencode(one), HERE, os.fsencode(other), EXCHANGE) == 0)
