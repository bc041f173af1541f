"""What was served, as an event log that `drn sessions` reads: the way back to training."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import polars as pl

from generator.errors import DataError
from generator.files import replacing
from generator.serving.store.open import open_store
from generator.serving.store.sessions import Event

__all__ = ["events", "exported", "write_events"]

SCHEMA: dict[str, type[pl.DataType]] = {
    "user": pl.String,
    "session": pl.String,
    "time": pl.Float64,
    "page": pl.String,
    "event": pl.String,
    "item": pl.String,
    "category": pl.String,
    "dwell": pl.Float64,
}
CHUNK = 50_000  # events turned at a time


def events(url: str) -> pl.DataFrame:
    """Return the log of a store as an event table of the format `events`.

    Parameters
    ----------
    url
        Of the store: ``sqlite:///FILE`` or ``mongodb://HOST:PORT/DATABASE``.

    Returns
    -------
    DataFrame
        In the order the events were first received: user (or null), session, time (unix seconds), page (of a view),
        event (``view`` or ``buy``), item (of a buy), category (null: the service knows none),
        dwell (seconds on the page, where the client said so).

    Raises
    ------
    DataError
        The store holds no events, or there is no such file.
    StoreError
        The store cannot be read.
    """
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).is_file():
        raise DataError(f"{url}: there is no such file; drn serve --store {url} writes it")
    store = open_store(url, read_only=True)
    try:
        log = store.events()
        parts = [pl.DataFrame(rows, SCHEMA, orient="row") for rows in iter(lambda: _rows(log), [])]
    finally:
        store.close()
    if not parts:
        raise DataError(f"{url.rsplit('@', maxsplit=1)[-1]}: holds no events yet: serve some visits first")
    return pl.concat(parts)


def _rows(log: Iterator[Event]) -> list[tuple[str | float | None, ...]]:
    return [
        (
            one.user,
            one.session,
            one.time,
            one.label if one.kind == "view" else None,
            one.kind,
            one.label if one.kind == "buy" else None,
            None,
            one.dwell,
        )
        for one in islice(log, CHUNK)
    ]


def write_events(url: str, path: Path) -> int:
    """Write the log of the store ``url`` to the Parquet file ``path``, whole or not at all; return its events.

    The file is a log for ``drn sessions``. Raises what `events` raises.
    """
    frame = events(url)
    with replacing(path) as beside:
        frame.write_parquet(beside)
    return frame.height


@contextmanager
def exported(url: str) -> Iterator[Sequence[Path]]:
    """Yield the log of the store ``url`` as files for `build`, there for the block; raises what `events` raises."""
    with tempfile.TemporaryDirectory(prefix="drn-") as folder:
        path = Path(folder) / "events.parquet"
        write_events(url, path)
        yield (path,)
