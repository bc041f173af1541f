"""What an event log may be: a file, or a table in memory of polars, pandas or Arrow."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from generator.errors import DataError

__all__ = ["Frame", "Source", "sources_of"]


@dataclass(frozen=True)
class Frame:
    """A log given as a DataFrame; ``name`` is what messages and meta.json call it."""

    name: str
    table: pl.DataFrame


Source = Path | Frame


def sources_of(logs: Any) -> list[Source]:
    """Return the sources of a log, in order.

    Parameters
    ----------
    logs
        A source or a list of sources, each a path (str or Path), a polars or pandas DataFrame, a pyarrow Table, or
        another object of Arrow's C stream interface. The index of a pandas DataFrame is left out.

    Raises
    ------
    DataError
        A source is none of these, or its columns cannot be converted.

    Examples
    --------
    >>> sources_of(["clicks.csv", pl.DataFrame({"session": ["a"], "page": ["home"]})])
    [PosixPath('clicks.csv'), Frame(name='frame 2', ...)]
    """
    several = isinstance(logs, Sequence) and not isinstance(logs, str)
    given = list(logs) if several else [logs]
    return [
        Path(each) if isinstance(each, str | Path) else _frame(each, f"frame {place}" if len(given) > 1 else "frame")
        for place, each in enumerate(given, 1)
    ]


def _frame(table: Any, name: str) -> Frame:
    """Convert a table of another library; pandas and pyarrow are told by their modules, for drn needs neither."""
    if isinstance(table, pl.DataFrame):
        return Frame(name, table)
    if isinstance(table, pl.LazyFrame):
        raise DataError(f"{name}: is a polars LazyFrame: give what its collect() returns")
    try:
        if type(table).__module__.partition(".")[0] == "pandas" and hasattr(table, "columns"):
            return Frame(name, pl.from_pandas(table))
        found = pl.from_arrow(table) if hasattr(table, "__arrow_c_stream__") else None
    except ModuleNotFoundError as error:
        raise DataError(f"{name}: a pandas DataFrame is converted by pyarrow: pip install pyarrow") from error
    except (pl.exceptions.PolarsError, TypeError, ValueError) as error:  # pyarrow's errors are of the last two
        raise DataError(f"{name}: a column cannot be converted: {error}") from error
    if not isinstance(found, pl.DataFrame):
        raise DataError(
            f"{name}: is a {type(table).__module__}.{type(table).__qualname__}, but a log is a path, "
            "a polars or pandas DataFrame, or an Arrow table"
        )
    return Frame(name, found)
