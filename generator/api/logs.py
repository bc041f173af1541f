"""`drn simulate` and `drn sessions` from Python."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generator.api.arguments import PathLike, as_spec
from generator.errors import DataError

if TYPE_CHECKING:
    from generator.data.threads import Progress
    from generator.shop.simulator import Summary
    from generator.spec.schema import Spec

__all__ = ["DataFolder", "given_sources", "sessions", "simulate"]


@dataclass(frozen=True, repr=False)
class DataFolder:
    """A folder of training data, written.

    Attributes
    ----------
    folder
        Where it is: train.h5, test.h5, perhaps valid.h5, pages.txt, items.txt, meta.json.
    meta
        What meta.json holds: what was read, skipped, cut and divided.
    """

    folder: Path
    meta: Mapping[str, Any]  # the JSON document as it is written

    @property
    def rows(self) -> dict[str, int]:
        """Rows of each split."""
        return {split: counts["rows"] for split, counts in self.meta["splits"].items()}

    def table(self) -> list[tuple[str, int]]:
        """Return the counts as `drn sessions` prints them: what, and how many."""
        meta = self.meta
        found = [(f"events, {kind}", count) for kind, count in meta["events"].items()]
        found += [(f"skipped, {reason}", count) for reason, count in meta["skipped"].items()]
        found += [(f"sessions, {name.replace('_', ' ')}", count) for name, count in meta["sessions"].items()]
        found += [(f"vocabulary, {name}", count) for name, count in meta["vocabulary"].items()]
        for split, counts in meta["splits"].items():
            found += [(f"{split}, {name}", count) for name, count in counts.items()]
        return found

    def notes(self) -> list[str]:
        """Return what `drn sessions` says beside the counts: times, rows left out, words it does not know."""
        from generator.data.log.words import meant

        meta = self.meta
        found = []
        if times := meta["times"]:
            unit = f", numbers in {' and '.join(times['units'])}" if times["units"] else ""
            found.append(f"times from {times['first']} to {times['last']}{unit}")
        found += [f"skipped {note}" for note in meta["skipped_rows"]]
        found += [f"event of no known meaning, {line}" for line in meant(meta["words"]["unknown"])]
        if shared := meta["sessions"].get("in_the_test_files_too"):
            strict = meta["division"]["test"].get("strict")
            found.append(
                f"{shared:,} sessions of the log are in the test files too: "
                + ("left out" if strict else "--strict-split leaves them out of training")
            )
        for split, unknown in meta["unknown_labels"].items():
            if 2 * unknown > (rows := meta["splits"][split]["rows"]):
                found.append(f"{unknown:,} of {rows:,} {split} rows ask for what training never saw")
        if (left := meta["sessions"].get("left_out")) and not shared:
            found.append(f"{left:,} sessions begin long after all others: left out, and no day is counted from them")
        return found

    def __repr__(self) -> str:
        """Say what is where."""
        rows = ", ".join(f"{count:,} {split} rows" for split, count in self.rows.items())
        return f"<training data in {self.folder}: {rows}; {self.meta['vocabulary']['items']:,} items>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{what}</td><td style='text-align:right'>{count:,}</td></tr>" for what, count in self.table()
        )
        return f"<table><caption>{self.folder.name}</caption>{rows}</table>"


def simulate(
    output: PathLike,
    *,
    sessions: int = 100_000,
    items: int = 500,
    categories: int = 20,
    users: int = 20_000,
    days: int = 30,
    conversion: float = 0.35,
    seed: int = 1,
    progress: Callable[[int], None] = lambda _: None,
) -> "Summary":
    """Simulate a shop's log into ``output/events.parquet``, as `drn simulate` does.

    Parameters
    ----------
    output
        Folder to write.
    sessions, items, categories, users, days
        Their numbers.
    conversion
        Share of the sessions that buy, between 0 and 1.
    seed
        Of everything: the same options give the same bytes.
    progress
        Called with the sessions of each block done.

    Raises
    ------
    DataError
        The options do not fit together.

    Examples
    --------
    >>> import generator as drn
    >>> drn.simulate("build/log", sessions=2000).purchases  # doctest: +SKIP
    695
    """
    from generator.shop.options import Shop
    from generator.shop.simulator import simulate as written

    shop = Shop(sessions, items, categories, users, days, conversion, seed)
    return written(Path(output), shop, progress)


def sessions(
    log: Any,  # a path, several, a URL, or a table of another library
    output: PathLike,
    spec: "Spec | PathLike",
    *,
    log_format: str = "events",
    columns: Mapping[str, str] | None = None,
    events: Mapping[str, str] | None = None,
    gap: float | None = None,
    test: Any = (),
    test_days: float | None = None,
    test_share: float | None = None,
    test_users: float | None = None,
    folds: int | None = None,
    fold: int | None = None,
    valid_share: float = 0.0,
    seed: int = 1,
    min_support: int = 1,
    vocabulary: PathLike = "train",
    max_bad: float = 0.001,
    drop_repeats: float | None = None,
    strict_split: bool = False,
    engine: str = "local",
    progress: "Progress | None" = None,
) -> DataFolder:
    """Turn an event log into training data, as `drn sessions` does.

    Parameters
    ----------
    log
        A file, a folder of Parquet files, several files, the URL of a store of `serve` (``sqlite:///FILE``,
        ``mongodb://HOST/DATABASE``), or a polars or pandas DataFrame or an Arrow table with named columns.
    output
        Folder to write; on any error it is as it was.
    spec
        A `Spec`, or its YAML file: window, history, purchases, sizes of the vocabularies, target.
    log_format, columns
        Format of the log; for ``events`` the column of each role (user, session, time, page, event, item, category,
        dwell).
    events
        What words of the column of events mean, beside those that the format knows: ``{"order": "buy"}``; the kinds are
        view, buy and other.
    gap
        Minutes of silence that end a session; 30 by default where the log has no session ids.
    drop_repeats
        Seconds within which the same event of the same user or session counts once.
    test, test_days, test_share, test_users, folds, fold
        Which sessions are the test part: those of files, of the last days, the newest share, those of a share of the
        users, or one fold of the users; by default the newest fifth.
    valid_share
        Newest share of the training sessions held out as valid.h5.
    seed
        Of a division by users, and of random ones where the log has no times.
    min_support
        Views a page needs in the training part to have an id.
    vocabulary
        ``train``, ``all``, or a folder with pages.txt and items.txt.
    max_bad
        Share of a file's rows that may be malformed; they are skipped and counted.
    strict_split
        Leave out training sessions whose id is in the files of ``test`` too.
    engine
        ``local``; or ``ray``, ``ray://HOST:PORT``, to which ``log`` and ``test`` are lists of paths or URLs of Parquet
        files and folders.
    progress
        Called with the name of the stage under way, what is done of it, and its total, or None where that is not known.

    Raises
    ------
    DataError
        The log does not hold, gives no rows, or has more pages or items than the spec allows.

    Examples
    --------
    >>> import generator as drn
    >>> drn.sessions("build/log/events.parquet", "build/data", "arch_specs/shop.yaml")  # doctest: +SKIP
    <training data in build/data: 555 train rows, 140 test rows; 523 items>
    """
    from generator.data.build import Options, build
    from generator.data.sessions.splits import Division
    from generator.data.threads import unwatched

    watched = progress or unwatched
    division = Division(
        bool(test), test_days, test_share, test_users, folds, fold, valid_share, seed, strict=strict_split
    )
    ids: Any = vocabulary if vocabulary in ("train", "all") else Path(vocabulary)
    name = Path(spec).name if isinstance(spec, str | os.PathLike) else spec.name
    spec, folder = as_spec(spec), Path(output)

    def settings(tests: list[Any]) -> Options:
        return Options(
            form=log_format,
            test=tests,
            columns=columns or {},
            events=events or {},
            gap=gap,
            division=division,
            min_support=min_support,
            max_bad=max_bad,
            vocabulary=ids,
            drop_repeats=drop_repeats,
        )

    if engine != "local":
        from generator.scale.cluster import connected
        from generator.scale.sessions import listed, read_on_ray

        urls, tests = ([url for each in logs for url in listed(str(each))] for logs in (log, test))
        files = [Path(each) for each in tests]
        options = settings(files)
        with connected(engine):
            reader = partial(read_on_ray, urls, tests, options, spec)
            return DataFolder(
                folder, build([Path(url) for url in urls], folder, spec, options, name, reader=reader, progress=watched)
            )
    with _opened(log) as logs:
        return DataFolder(folder, build(logs, folder, spec, settings(given_sources(test)), name, progress=watched))


@contextmanager
def _opened(log: Any) -> Iterator[list[Any]]:
    """Yield the sources of a log; what a store holds is in a file meanwhile."""
    if isinstance(log, str) and "://" in log:
        from generator.loop.export import exported

        with exported(log) as files:
            yield list(files)
        return
    yield given_sources(log)


def given_sources(log: Any) -> list[Any]:
    """Return the sources of a log, its files in the place of a folder; DataError for a folder without any."""
    from generator.data.log.formats import files_of

    several = isinstance(log, Sequence) and not isinstance(log, str)
    found: list[Any] = []
    for each in log if several else [log]:
        if not isinstance(each, str | os.PathLike) or not Path(each).is_dir():
            found.append(each)
            continue
        if not (files := files_of(Path(each))):
            raise DataError(f"{each}: a folder without a Parquet file (*.parquet, *.pq), or another file of a log")
        found += files
    return found
