"""`drn recommend` and `drn serve` from Python."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from generator.api.arguments import PathLike
from generator.errors import DataError, pip_install

if TYPE_CHECKING:
    from generator.model.model import Model
    from generator.model.query import Answer

__all__ = ["recommend", "serve"]


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
    try:
        from generator.serving.http.settings import Settings
        from generator.serving.workers import serve as served
    except ImportError as error:
        raise DataError(f"drn serve needs more packages: {pip_install('serve')} ({error})") from error
    served(Settings(Path(models), **settings))
