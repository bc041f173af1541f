"""The verbs of drn for people who write Python: one function a command, typed results.

``import generator as drn`` offers them under its own name. Each takes a path as str or Path, and does what the command
of its name does.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from generator.errors import DataError, pip_install

if TYPE_CHECKING:
    from generator.codegen import File
    from generator.data.simulator import Summary
    from generator.evaluate.evaluate import Report
    from generator.evaluate.model import Answer, Model
    from generator.spec.schema import Spec
    from generator.train.loop import Result as Training
    from generator.tune.run import Result as Search

__all__ = [
    "Artefacts",
    "DataFolder",
    "evaluate",
    "generate",
    "recommend",
    "serve",
    "sessions",
    "simulate",
    "train",
    "tune",
]

PathLike: TypeAlias = str | os.PathLike[str]
Visit: TypeAlias = "str | tuple[str, float]"


@dataclass(frozen=True)
class Artefacts:
    """The generated files of one spec, written.

    Attributes
    ----------
    folder
        Where they are.
    files
        Name, status (new, changed, unchanged) and bytes of each, by name.
    """

    folder: Path
    files: "tuple[File, ...]"

    def __repr__(self) -> str:
        """Say how many files are where."""
        return f"<{len(self.files)} artefacts in {self.folder}>"


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

    def __repr__(self) -> str:
        """Say what is where."""
        rows = ", ".join(f"{count:,} {split} rows" for split, count in self.rows.items())
        return f"<training data in {self.folder}: {rows}; {self.meta['vocabulary']['items']:,} items>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{what}</td><td style='text-align:right'>{count:,}</td></tr>" for what, count in self.table()
        )
        return f"<table><caption>{self.folder.name}</caption>{rows}</table>"


def _spec(spec: "Spec | PathLike") -> "Spec":
    if isinstance(spec, (str, os.PathLike)):
        from generator.spec import load_spec

        return load_spec(spec)
    return spec


def generate(
    spec: "Spec | PathLike",
    output: PathLike = "generated",
    *,
    groups: Sequence[str] | None = None,
    init: int | None = None,
    templates: PathLike | None = None,
) -> Artefacts:
    """Generate the Caffe and ONNX artefacts of a spec into ``output/NAME``, as `gen-model` does.

    Parameters
    ----------
    spec
        A `Spec`, or its YAML file.
    output
        Folder that gets one folder a spec.
    groups
        Some of caffe, onnx, triton, graph, gradient, binary; all by default.
    init
        Seed of initial weights inside model.onnx; without it the parameters are inputs.
    templates
        Folder of templates that replace drn's of the same name.

    Raises
    ------
    SpecError, TemplateError, ModelError
        The spec or a template does not hold.

    Examples
    --------
    >>> import generator as drn
    >>> drn.generate("arch_specs/rnn.yaml", "build/generated")  # doctest: +SKIP
    <12 artefacts in build/generated/rnn>
    """
    from generator.codegen import ALL_GROUPS, write
    from generator.codegen import generate as made

    spec = _spec(spec)
    files = made(spec, ALL_GROUPS if groups is None else groups, init, Path(templates) if templates else None)
    folder = Path(output) / spec.name
    return Artefacts(folder, tuple(write(files, folder)))


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
    from generator.data.simulator import Shop
    from generator.data.simulator import simulate as written

    shop = Shop(sessions, items, categories, users, days, conversion, seed)
    return written(Path(output), shop, progress)


def evaluate(
    models: "Model | PathLike | Sequence[PathLike] | Mapping[str, Model]",
    data: PathLike,
    *,
    baselines: str | Sequence[str] = "default",
    split: str = "test",
    batch_size: int = 512,
    threads: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> "Report":
    """Rank all items for every row of a split, by models and baselines, as `drn evaluate` does.

    Parameters
    ----------
    models
        A `Model`, the folder of a run, several of them, or models by the name to report.
    data
        Folder of `sessions`.
    baselines
        ``default``, ``all``, ``none``, or names.
    split
        ``test`` or ``valid``.
    batch_size
        Rows a thread takes at a time.
    threads
        That models score in; 0: all cores. The figures do not depend on it.
    progress
        Called with the rows done and their total.

    Returns
    -------
    Report
        Hit rate, MRR and NDCG of each method with 95 % intervals, and the paired differences.

    Raises
    ------
    DataError, ModelError
        There is nothing to evaluate, or a model is of other data.

    Examples
    --------
    >>> import generator as drn
    >>> report = drn.evaluate("runs/shop", "data/shop", baselines=["popularity"])  # doctest: +SKIP
    >>> report["shop"]["MRR@20"].value  # doctest: +SKIP
    0.539
    """
    from generator.evaluate.baselines import choose
    from generator.evaluate.evaluate import evaluate as ranked
    from generator.evaluate.model import Model, named_models

    if isinstance(models, Model):
        models = {models.name: models}
    elif isinstance(models, (str, os.PathLike)):
        models = named_models([Path(models)])
    elif not isinstance(models, Mapping):
        models = named_models([Path(each) for each in models])
    return ranked(
        models,
        Path(data),
        choose(baselines),
        split=split,
        batch_size=batch_size,
        threads=threads,
        step=progress,
    )


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
    from generator.evaluate.model import Model, Query

    if not isinstance(model, Model):
        model = Model(Path(model))
    pages = [(each, 1.0) if isinstance(each, str) else (each[0], float(each[1])) for each in session]
    (answer,) = model.recommend([Query(pages, list(bought))], k)
    return answer


def sessions(
    log: "Log | Sequence[PathLike]",
    output: PathLike,
    spec: "Spec | PathLike",
    *,
    log_format: str = "events",
    columns: Mapping[str, str] | None = None,
    gap: float | None = None,
    test: Sequence[PathLike] = (),
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
    engine: str = "local",
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
        Format of the log; for ``events`` the column of each role (user, session, time, page, event, item, category).
    gap
        Minutes of silence that end a session, where the log has no session ids.
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
    engine
        ``local``, ``ray`` or ``ray://HOST:PORT``.

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
    from generator.data.splits import Division

    division = Division(bool(test), test_days, test_share, test_users, folds, fold, valid_share, seed)
    known: Any = vocabulary if vocabulary in ("train", "all") else Path(vocabulary)
    spec = _spec(spec)
    with ExitStack() as stack:
        if engine != "local":
            return _sessions_on_ray()
        files = stack.enter_context(_logs(log))
        options = Options(
            log_format, [Path(each) for each in test], columns or {}, gap, division, min_support, max_bad, known
        )
        return DataFolder(Path(output), build(files, Path(output), spec, options, spec.name))
