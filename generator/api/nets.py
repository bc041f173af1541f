"""`drn train`, `drn tune` and `drn evaluate` from Python."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from generator.api.arguments import PathLike, as_spec

if TYPE_CHECKING:
    from generator.evaluation.evaluate import Report
    from generator.evaluation.ranking import Ties
    from generator.model.model import Model
    from generator.spec.schema import Spec
    from generator.training.run.train import Result, TrainOptions
    from generator.tuning.history import Status
    from generator.tuning.run import TuningResult

__all__ = ["evaluate", "named_models", "train", "tune"]


def train(
    spec: "Spec | PathLike",
    data: PathLike,
    run: PathLike,
    options: "TrainOptions | None" = None,
    *,
    progress: Callable[[int, float, float], None] | None = None,
    note: Callable[[str], None] | None = None,
) -> "Result":
    """Train the net of a spec and export its model, as `drn train` does.

    Parameters
    ----------
    spec
        A `Spec`, or its YAML file.
    data
        Folder of `sessions`.
    run
        Folder to make: spec.yaml, the generated texts, metrics.jsonl, snapshots, models.
    options
        Where to start, in which order, on how many threads: `TrainOptions`.
    progress
        Called with iteration, loss and samples a second, at most ten times a second.
    note
        Called with what a person should know.

    Raises
    ------
    DataError, ModelError, TrainingError
        The data do not fit the spec, weights do not hold, or the run cannot go on; snapshots stay.

    Examples
    --------
    >>> import generator as drn
    >>> drn.train("arch_specs/shop.yaml", "data/shop", "runs/shop").model  # doctest: +SKIP
    PosixPath('runs/shop/models/shop/1/model.onnx')
    """
    from generator.training.run.train import FRESH
    from generator.training.run.train import train as trained

    return trained(as_spec(spec), Path(data), Path(run), options or FRESH, progress=progress, note=note)


def tune(
    plan: PathLike,
    data: PathLike,
    run: PathLike,
    *,
    resume: bool = False,
    sampler: str | None = None,
    seed: int | None = None,
    workers: int = 0,
    progress: "Callable[[Status], None] | None" = None,
) -> "TuningResult":
    """Search the fields of a spec for the best net, as `drn tune` does.

    Parameters
    ----------
    plan
        YAML file: the base spec, the fields to search, objectives and budget.
    data
        Folder of `sessions` with a validation split.
    run
        Folder to make: best.yaml, report.html, history.jsonl and the journal to resume from.
    resume
        Whether to go on with the run in the folder.
    sampler, seed
        In place of the plan's.
    workers
        Individuals at a time; 0: one a core. Their number does not change the history.
    progress
        Called after each training.

    Raises
    ------
    SpecError, DataError, TrainingError
        The plan or the data do not hold, or no individual could be trained.

    Examples
    --------
    >>> import generator as drn
    >>> drn.tune("arch_specs/tune/shop.yaml", "data/shop", "runs/tune").best.genes  # doctest: +SKIP
    {'rnn.window': 5, 'rnn.widths': [64]}
    """
    from generator.jobs.workers import Processes
    from generator.tuning.plan import load_plan
    from generator.tuning.run import tune as searched

    loaded = load_plan(Path(plan)).changed(sampler=sampler, seed=seed)
    with Processes(workers, loaded.training.timeout) as engine:
        return searched(loaded, Path(data), Path(run), engine=engine, resume=resume, progress=progress)


def evaluate(
    models: "Model | PathLike | Sequence[PathLike] | Mapping[str, Model]",
    data: PathLike,
    *,
    baselines: str | Sequence[str] = "default",
    tune_baselines: bool = False,
    split: str = "test",
    ties: "Ties" = "median",
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
    tune_baselines
        Choose their settings on the validation split, by MRR@20.
    split
        ``test`` or ``valid``.
    ties
        The rank of an item that others tie with: ``standard``, ``median`` or ``conservative``.
    batch_size
        Rows a thread takes at a time.
    threads
        That rank; 0: all cores. The figures do not depend on it.
    progress
        Called with the rows done and their total.

    Returns
    -------
    Report
        Hit rate, MRR and NDCG of each method with 95 % intervals, coverage and popularity of what it recommends, and
        the paired differences.

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
    from generator.evaluation.baselines import choose
    from generator.evaluation.evaluate import evaluate as ranked
    from generator.evaluation.tuning import tuned
    from generator.model.model import Model

    if isinstance(models, Model):
        models = {models.name: models}
    elif not isinstance(models, Mapping):
        models = named_models([models] if isinstance(models, str | os.PathLike) else models)
    methods = choose(baselines)
    if tune_baselines:
        methods = [tuned(one, Path(data)) for one in methods]
    return ranked(
        models,
        Path(data),
        methods,
        split=split,
        ties=ties,
        batch_size=batch_size,
        threads=threads,
        step=progress,
    )


def named_models(runs: Sequence[PathLike], *, int8: bool = False, index: bool = False) -> "dict[str, Model]":
    """Return models by name; where that is not unique, by the folder's name, or else by the path given.

    With ``int8`` each comes a second time, its output layer in 8 bits; with ``index`` so, by an index of its items.
    """
    from generator.evaluation.baselines import BASELINES
    from generator.model.model import Model

    paths = list(dict.fromkeys(Path(run) for run in runs))
    models = [Model(path) for path in paths]
    schemes = [model.name for model in models], [path.name for path in paths], [str(path) for path in paths]
    names = next((names for names in schemes if len({*names, *BASELINES}) == len(names) + len(BASELINES)), schemes[-1])
    named = dict(zip(names, models, strict=True))
    if int8:
        named |= {f"{name} int8": Model(path, int8=True) for name, path in zip(names, paths, strict=True)}
    if index:
        named |= {f"{name} index": Model(path, index=True) for name, path in zip(names, paths, strict=True)}
    return named
