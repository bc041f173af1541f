"""`drn recommend`, `drn similar` and `drn serve` from Python."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from generator.api.arguments import PathLike
from generator.errors import require_package

if TYPE_CHECKING:
    from generator.data.threads import Progress
    from generator.model.answers_file import LogAnswers
    from generator.model.model import Model
    from generator.model.query import Answer
    from generator.model.similar import Kind

__all__ = ["recommend", "recommend_log", "serve", "similar"]


Visit: TypeAlias = "str | tuple[str, float]"


def recommend(
    model: "Model | PathLike", session: Sequence[Visit] = (), bought: Sequence[str] = (), k: int | None = None
) -> "Answer":
    """Recommend items for one session, as `drn recommend` does.

    Parameters
    ----------
    model
        A `Model`, which is worth keeping for many questions, or the folder of a run.
    session
        Pages viewed, oldest first: each an id, or a pair of the id and the seconds spent there.
    bought
        Items bought in earlier sessions, oldest first.
    k
        How many; the model's own top_k by default.

    Returns
    -------
    Answer
        Pairs of item and probability, best first.

    Raises
    ------
    ModelError
        There is no model, or it answers NaN.

    Examples
    --------
    >>> import generator as drn
    >>> drn.recommend("runs/shop", [("home", 5), "item-12"], ["item-3"], k=2).items  # doctest: +SKIP
    (('item-15', 0.31), ('item-12', 0.12))
    """
    from generator.model.model import Model
    from generator.model.query import Query

    if not isinstance(model, Model):
        model = Model(Path(model))
    pages = [(each, 1.0) if isinstance(each, str) else (each[0], float(each[1])) for each in session]
    (answer,) = model.recommend([Query(pages, list(bought))], k)
    return answer


def recommend_log(
    model: "Model | PathLike",
    log: Any,  # a path, several, or a table of another library
    output: PathLike,
    k: int | None = None,
    *,
    log_format: str = "events",
    columns: Mapping[str, str] | None = None,
    events: Mapping[str, str] | None = None,
    gap: float | None = None,
    drop_repeats: float | None = None,
    max_bad: float = 0.001,
    progress: "Progress | None" = None,
) -> "LogAnswers":
    """Recommend items after every session of a log, as `drn recommend --batch` does.

    Parameters
    ----------
    model
        A `Model` of a run, or the folder of one: its spec.yaml says what pages and items are.
    log
        A file, a folder of Parquet files, several files, or a polars or pandas DataFrame or an Arrow table.
    output
        The file to write, .parquet, .csv or .jsonl: a row a session, with its id, user, start (unix seconds), the ids
        of the ``k`` items and their probabilities, best first. Memory does not grow with it.
    k
        How many; the model's own top_k by default.
    log_format, columns, events, gap, drop_repeats, max_bad
        How the log is read, as `sessions` does.
    progress
        Called with the name of the stage under way, what is done of it, and its total, or None where that is not known.

    Returns
    -------
    LogAnswers
        The file, and how many sessions, views and purchases there were, known and unknown.

    Raises
    ------
    DataError
        The log does not hold, or no session in it views anything.
    ModelError
        There is no model, or it is in no run.

    Examples
    --------
    >>> import generator as drn
    >>> drn.recommend_log("runs/shop", "events.parquet", "answers.parquet", k=10).sessions  # doctest: +SKIP
    15794
    """
    from generator.api.logs import given_sources
    from generator.data.log.sources import sources_of
    from generator.data.options import Options
    from generator.data.store.folder import beside
    from generator.data.threads import unwatched
    from generator.files import check_output
    from generator.model.answers_file import LogAnswers, check_suffix, write_answers
    from generator.model.find import find_spec
    from generator.model.logs import LogSessions, answered
    from generator.model.model import Model
    from generator.spec import load_spec

    check_suffix(output := Path(output))
    sources = sources_of(given_sources(log))
    check_output(output, *(source for source in sources if isinstance(source, Path)))
    if not isinstance(model, Model):
        model = Model(Path(model))
    spec, watched = load_spec(find_spec(model.file)), progress or unwatched
    options = Options(
        log_format, columns=columns or {}, events=events or {}, gap=gap, max_bad=max_bad, drop_repeats=drop_repeats
    )
    with beside(output) as place:
        sessions = LogSessions(sources, options, spec, place, watched)
        totals = write_answers(output, answered(model, sessions, k, watched), place)
    return LogAnswers(output, **totals, skipped=sessions.counts.skipped, notes=sessions.counts.notes)


def serve(models: PathLike, **settings: Any) -> None:
    """Serve recommendations over HTTP until a signal ends it, as `drn serve` does.

    Parameters
    ----------
    models
        A run, a model repository, a model or a version of one.
    settings
        Fields of `generator.serving.http.settings.Settings`: store, host, port, token, int8, ...

    Raises
    ------
    DrnError
        There is no model, the store cannot be opened, or the port is taken.

    Examples
    --------
    >>> import generator as drn
    >>> drn.serve("runs/shop", store="sqlite:///shop.sqlite", port=8000)  # doctest: +SKIP
    """
    for package in ("starlette", "uvicorn", "prometheus_client"):
        require_package(package, "drn serve")
    from generator.serving.http.settings import Settings
    from generator.serving.workers import serve as served

    served(Settings(Path(models), **settings))


def similar(
    model: "Model | PathLike", item: str, k: int = 10, *, kind: "Kind" = "items"
) -> tuple[tuple[str, float], ...]:
    """Return the items that a trained net has most alike to ``item``, as `drn similar` does.

    Parameters
    ----------
    model
        A `Model`, or the folder of a run.
    item
        An item, or a page, by its original id.
    k
        How many.
    kind
        ``items``: by the rows that the net's state is multiplied by for their scores; ``pages``: by those that it reads
        of a visit. A tied head has one table for both.

    Returns
    -------
    tuple
        Pairs of id and cosine of the angle between the rows, best first.

    Raises
    ------
    DataError
        The model does not know the item.
    ModelError
        There is no model, or it has no such table.

    Examples
    --------
    >>> import generator as drn
    >>> drn.similar("runs/shop", "item-15", k=2)  # doctest: +SKIP
    (('item-16', 0.93), ('item-14', 0.88))
    """
    from generator.model.model import Model
    from generator.model.similar import Similar

    return Similar(model if isinstance(model, Model) else Model(Path(model)), kind).nearest(item, k)
