"""A store behind a URL."""

from generator.errors import pip_install
from generator.serving.store.store import IDLE, Store, StoreError

__all__ = ["open_store"]


def open_store(url: str, idle: float = IDLE, *, read_only: bool = False) -> Store:
    """Open the store behind ``url``, and make what it needs there.

    Parameters
    ----------
    url
        ``sqlite:///relative/path``, ``sqlite:////absolute/path`` or ``mongodb://host:port/database``.
    idle
        Seconds without an event after which a session is forgotten.
    read_only
        Whether nothing is made or written, and no right to write is needed.

    Raises
    ------
    StoreError
        The URL is neither, or the store cannot be opened.
    """
    if url.startswith("sqlite:///") and len(url) > len("sqlite:///"):
        from generator.serving.store.sqlite import SqliteStore

        return SqliteStore(url.removeprefix("sqlite:///"), idle, read_only=read_only)
    if url.startswith(("mongodb://", "mongodb+srv://")):
        try:
            from generator.serving.store.mongo import MongoStore
        except ImportError as error:
            raise StoreError(f"mongodb:// needs pymongo: {pip_install('serve')} ({error})") from error
        return MongoStore(url, idle, read_only=read_only)
    shown = url.rsplit("@", maxsplit=1)[-1]  # a URL may hold a password
    raise StoreError(f"{shown!r} is no store: give sqlite:///FILE or mongodb://HOST:PORT/DATABASE")
