"""How much memory there is, asked before it is needed."""

from pathlib import Path

from generator.errors import DrnError

__all__ = ["available", "require"]

MEMINFO, CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


def available() -> int | None:
    """Return the bytes that may be taken without swapping, within the limit of the container; None where unknown."""
    found = []
    try:
        lines = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines())
        found.append(int(lines["MemAvailable"].split()[0]) * 1024)
    except (OSError, ValueError, KeyError):
        return None
    try:
        limit, used = ((CGROUP / name).read_text().strip() for name in ("memory.max", "memory.current"))
        found.append(max(int(limit) - int(used), 0))
    except (OSError, ValueError):  # no limit: the word is max
        pass
    return min(found)


def require(size: int, what: str, instead: str) -> None:
    """Refuse what takes more memory than there is.

    Parameters
    ----------
    size
        Bytes.
    what
        What takes them, for the error.
    instead
        What would take less.

    Raises
    ------
    DrnError
        There are fewer bytes.
    """
    there = available()
    if there is not None and size > there:
        raise DrnError(f"{what} take {size / 2**30:,.1f} GiB of memory, and {there / 2**30:,.1f} are free: {instead}")
