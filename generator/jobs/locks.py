"""One process at a time in a folder, by a lock that goes with the process."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from generator.errors import DrnError

__all__ = ["LOCK", "locked"]

LOCK = ".lock"

RETRY = 0.1  # seconds between two tries


@contextmanager
def locked(folder: Path, *, wait: float = 0.0, name: str = LOCK) -> Iterator[None]:
    """Hold the lock of a folder, which is made if it is absent, and removed again if nothing was written to it.

    The lock is ``flock`` on ``<folder>/<name>``: whatever ends the process ends it too, so a file that a kill left
    behind locks nothing. The file holds the number of the process.

    Parameters
    ----------
    wait
        Seconds to wait for another process.
    name
        Of the file: whoever holds a folder under a name of its own can still take the folder's lock for a part of it.

    Raises
    ------
    DrnError
        If another holds it all that time.

    Examples
    --------
    >>> with locked(Path("runs/shop")):  # doctest: +SKIP
    ...     ...
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, until = folder / name, time.monotonic() + wait
    while (handle := _acquire(path)) is None:
        if time.monotonic() >= until:
            raise DrnError(
                f"{folder}: {_holder(path)} is at work in this folder; wait for its end, or take another folder"
            )
        time.sleep(RETRY)
    try:
        os.truncate(handle, 0)
        os.write(handle, b"%d\n" % os.getpid())
        yield
    finally:
        path.unlink(missing_ok=True)
        with suppress(OSError):  # it holds something
            folder.rmdir()
        os.close(handle)


def _acquire(path: Path) -> int | None:
    """Return the open file, locked; None if another process has the lock."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever had it may have removed the file after it was opened here: a lock on that is none.
        if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
            return handle
    except BlockingIOError:
        pass
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None


def _holder(path: Path) -> str:
    """Return who holds a lock: the process, by its number if that is known."""
    with suppress(OSError, ValueError):
        if number := path.read_text(encoding="ascii").strip():
            return f"process {number}"
    return "another process"
