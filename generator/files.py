"""Files that are whole or absent: write beside, then rename."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from generator.errors import DataError

__all__ = [
    "TORN",
    "check_output",
    "check_whole",
    "holds_more",
    "naming",
    "replacing",
    "resource",
    "unfinished",
    "write_bytes",
    "write_text",
]

TORN = ".unfinished"  # in a folder whose files, which belong together, are being replaced one by one

# What `replacing` calls a file until it is whole: .<name>.<8 of mkstemp's letters><suffix>.
UNFINISHED = re.compile(r"\..+\.[a-z0-9_]{8}(\.[^.]+)?")

# Asked once, before there are threads: to ask is to set it for a moment.
_UMASK = os.umask(0)
os.umask(_UMASK)


@contextmanager
def replacing(path: Path, place: Path | None = None) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; on success it replaces ``path``, on failure it goes.

    The bytes are flushed to disk before the rename, so that a kill or a power cut leaves either the
    old file or the new one, never half of one. What takes long to write can have its new file in a folder
    ``place`` of the same file system, which whoever comes after a kill removes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path):
        handle, name = tempfile.mkstemp(dir=place or path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
        beside = Path(name)
        try:
            yield beside
            _settle(beside)
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an OSError that names no file, as that of a full disk, or a temporary one beside ``path``, name ``path``."""
    try:
        yield
    except OSError as error:
        parts = () if error.filename is None else Path(str(error.filename)).parts
        if error.strerror and (not parts or any(part.startswith(f".{path.name}.") for part in parts)):
            error.filename = str(path)
        raise


def check_output(path: Path, *sources: Path) -> None:
    """Refuse to write ``path`` over one of the files that are read for it.

    Raises
    ------
    DataError
        It is one of ``sources``.
    """
    if path.exists() and any(source.exists() and path.samefile(source) for source in sources):
        raise DataError(f"{path}: is read for what would be written over it; name another file")


def holds_more(folder: Path, *names: str) -> bool:
    """Whether a folder is there and holds anything but ``names``."""
    return folder.is_dir() and any(path.name not in names for path in folder.iterdir())


def check_whole(folder: Path) -> None:
    """Refuse a folder in which a run was stopped while it replaced files that belong together."""
    if (folder / TORN).exists():
        raise DataError(
            f"{folder}: drn sessions was stopped while it replaced these files, so that they do not belong together: "
            "run it again"
        )


def unfinished(folder: Path) -> list[Path]:
    """Return the files in a folder that `replacing` was killed over: to be removed by whoever has it to itself."""
    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.iterdir()) if UNFINISHED.fullmatch(path.name) and path.is_file()]


def _settle(path: Path) -> None:
    """Give ``path`` the mode a plain open() would, and flush it to disk."""
    path.chmod(0o666 & ~_UMASK)
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def write_bytes(path: Path, content: bytes) -> None:
    """Replace the file at ``path`` by ``content``, whole or not at all."""
    with replacing(path) as beside:
        beside.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Replace the file at ``path`` by ``content`` in UTF-8 with ``\\n`` line ends."""
    write_bytes(path, content.encode("utf-8"))


def resource(name: str) -> Path:
    """Return the folder ``name`` (``templates``, ``arch_specs``) of the checkout or of the installed wheel."""
    package = Path(__file__).resolve().parent
    for root in (package, package.parent):
        if (root / name).is_dir():
            return root / name
    raise FileNotFoundError(f"drn is installed without its {name} folder")
