"""`drn fit` and `drn spec` from Python."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from generator.api.arguments import PathLike
from generator.api.logs import given_sources

if TYPE_CHECKING:
    from generator.data.log.sources import Source
    from generator.fitting.draft import Draft
    from generator.fitting.options import FitOptions
    from generator.fitting.result import Fit

__all__ = ["fit", "spec_for"]


def fit(
    log: Any,  # a path, several, or a table of another library
    output: PathLike = "fit",
    *,
    minutes: float = 10.0,
    tune: bool = False,
    resume: bool = False,
    dry_run: bool = False,
    note: Callable[[str], None] = lambda _: None,
    progress: Callable[[str, float, float], None] = lambda _name, _done, _total: None,
    **about: Any,
) -> "Fit | Draft":
    """Turn a log into a served model, as `drn fit` does: look at it, choose a net, train it, compare it with rules.

    Parameters
    ----------
    log
        A file, a folder of Parquet files, several files, or a polars or pandas DataFrame or an Arrow table.
    output
        Folder to make; it becomes a run, which `serve`, `evaluate` and `recommend` take.
    minutes
        That the whole may take, about.
    tune
        Whether half of them go to `drn tune` around the best candidate.
    resume
        Whether to go on with the fit in the folder, to the same result.
    dry_run
        Whether to stop once spec.yaml is written.
    note
        Called with what a person should know: what was understood of the log, how the candidates did.
    progress
        Called with the name of the work under way, what is done of it, and its total.
    about
        What is known of the log, and what is wanted of the net: `log_format`, `columns` (column by role), `events`
        (kind by word), `target` (purchase or next), `level` (item or category), `gap`, `max_bad`, `test` (files or
        tables), `name`, `seed`, `overrides` (fields of the spec, as ``["rnn.window=8"]``).

    Returns
    -------
    Fit
        The figures of the net and of all rules, and where everything is; with ``dry_run`` a Draft, what was understood.

    Raises
    ------
    DataError
        The log does not hold, or the folder holds something else.
    SpecError
        An override does not hold.

    Examples
    --------
    >>> import generator as drn
    >>> found = drn.fit("clicks.csv", "shop")  # doctest: +SKIP
    >>> found.verdict()  # doctest: +SKIP
    'clicks is ahead of rules, the best rule on the test part: MRR@20 0.381 against 0.348, +0.033 [+0.024, +0.041]'
    >>> drn.serve("shop")  # doctest: +SKIP
    """
    from generator.files import write_text
    from generator.fitting.fit import fit as fitted
    from generator.fitting.journal import refuse_used
    from generator.fitting.options import Listener

    sources, options = _sources(log), _options(minutes=minutes, tune=tune, **about)
    if dry_run:
        refuse_used(Path(output))
        found = _draft(sources, options, note)
        write_text(Path(output) / "spec.yaml", found.spec_text(found.candidates[0]))
        return found
    return fitted(sources, Path(output), options, resume=resume, listener=Listener(note, progress))


def spec_for(log: Any, *, note: Callable[[str], None] = lambda _: None, **about: Any) -> str:
    """Return the spec that fits a log as YAML, each field with its reason, as `drn spec` does; see `fit`."""
    found = _draft(_sources(log), _options(**about), note)
    return found.spec_text(found.candidates[0])


def _draft(sources: "list[Source]", options: "FitOptions", note: Callable[[str], None]) -> "Draft":
    from generator.fitting.draft import draft

    with tempfile.TemporaryDirectory(prefix="drn-") as folder:
        found = draft(sources, Path(folder) / "log", options)
    for line in [*found.lines(), *found.look.doubts]:
        note(line)
    return found


def _sources(log: Any) -> "list[Source]":
    from generator.data.log.sources import sources_of

    return sources_of(given_sources(log))


def _options(
    *,
    minutes: float = 10.0,
    tune: bool = False,
    log_format: str | None = None,
    columns: Mapping[str, str] | None = None,
    events: Mapping[str, str] | None = None,
    target: Literal["purchase", "next"] | None = None,
    level: Literal["item", "category"] | None = None,
    gap: float | None = None,
    max_bad: float = 0.001,
    test: Any = (),
    name: str | None = None,
    seed: int = 1,
    overrides: Sequence[str] = (),
) -> "FitOptions":
    from generator.fitting.look import Given
    from generator.fitting.options import FitOptions

    return FitOptions(
        given=Given(log_format, columns or {}, events or {}),
        tests=_sources(test),
        target=target,
        level=level,
        minutes=minutes,
        overrides=tuple(overrides),
        gap=gap,
        max_bad=max_bad,
        seed=seed,
        tune=tune,
        name=name,
    )
