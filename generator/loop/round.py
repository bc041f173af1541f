"""One round of the loop: served events to data, data to a candidate, published if it is not worse."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from generator.data.build import Options, build
from generator.data.sessions.slots import Slots
from generator.data.sessions.splits import Division
from generator.data.sessions.vocabulary import Vocabulary
from generator.data.store.split import read_sessions
from generator.data.windows import rows_of
from generator.errors import ModelError, TrainingError
from generator.jobs.locks import locked
from generator.loop.carry import carry, keep
from generator.loop.export import write_events
from generator.model.find import version_number
from generator.model.model import Model
from generator.model.query import Query
from generator.spec.schema import Spec
from generator.training.run.loop import Progress
from generator.training.run.train import TrainOptions, train

__all__ = ["Round", "prune", "publish", "reciprocal_rank", "run_round"]

JUDGED = 5000  # rows at most, the newest
CHUNK = 256


@dataclass(frozen=True)
class Round:
    """What one round came to.

    Attributes
    ----------
    events, judged
        Events in the log; rows of the newest sessions that the models were compared on.
    candidate, published
        Mean reciprocal rank, over the items a model answers with, of the new and the served model; None: none served.
    carried
        Whether the candidate went on from the weights published last.
    version
        The model.onnx published; None if the candidate is worse, or a signal stopped its training.
    """

    events: int
    judged: int
    candidate: float
    published: float | None
    carried: bool
    version: Path | None


def run_round(
    store: str,
    spec: Spec,
    run: Path,
    *,
    newest: float = 0.1,
    versions: int | None = None,
    threads: int = 0,
    progress: Progress | None = None,
    wanted: Callable[[int], bool] = lambda _events: True,
) -> Round | None:
    """Train on the log of a store and publish the model into ``run``/models if it is not worse than the one there.

    Parameters
    ----------
    store
        URL of the store.
    spec
        The net and its solver; it must have room for all pages and items of the log.
    run
        Gets models/ (what `drn serve` watches), published/ (the weights to go on from) and round/ (the last one's
        events, data and training run).
    newest
        Share of the sessions, the newest, held out to compare the models on.
    versions
        Versions kept in models/, the newest, once another is published; None: all.
    threads
        Of onnxruntime in training; 0: all cores.
    progress
        As for `train`.
    wanted
        Called with the number of events; with False the round ends there.

    Returns
    -------
    Round, or None if the round was not wanted

    Raises
    ------
    StoreError, DataError, TrainingError, ModelError
        A step cannot be done; what was published before stays.
    """
    if spec.ensemble > 1:
        raise TrainingError(
            f"{spec.name}: ensemble: {spec.ensemble}, but the loop goes on with the weights of one net from round to "
            "round: set ensemble: 1"
        )
    with locked(run):
        found = _run_round(store, spec, run, newest, threads, progress, wanted)
        if versions is not None and found is not None and found.version is not None:
            prune(run / "models" / spec.name, versions)
        return found


def _run_round(
    store: str,
    spec: Spec,
    run: Path,
    newest: float,
    threads: int,
    progress: Progress | None,
    wanted: Callable[[int], bool],
) -> Round | None:
    work = run / "round"
    shutil.rmtree(work, ignore_errors=True)
    log, data = work / "events.parquet", work / "data"
    events = write_events(store, log)
    if not wanted(events):
        return None
    build([log], data, spec, Options(division=Division(share=newest)), spec.name)
    start = carry(run / "published", spec, data, work / "start.caffemodel")
    trained = train(spec, data, work / "run", TrainOptions(weights=start, threads=threads), progress=progress)
    if trained.model is None:
        return Round(events, 0, 0.0, None, start is not None, None)
    queries, labels = held_out(data, spec)
    candidate = reciprocal_rank(Model(trained.model), queries, labels)
    served = _served(run / "models" / spec.name)
    published = None if served is None else reciprocal_rank(served, queries, labels)
    version = None
    if published is None or candidate >= published:
        version = publish(trained.model.parent, run / "models" / spec.name)
        weights = work / "run" / "snapshots" / f"{spec.name}_iter_{trained.iterations}.caffemodel"
        keep(run / "published", weights, data)
    return Round(events, len(queries), candidate, published, start is not None, version)


def _served(model: Path) -> Model | None:
    """Return the newest version of a model; None if there is none that holds."""
    try:
        return Model(model) if model.is_dir() else None
    except ModelError:
        return None


def held_out(data: Path, spec: Spec) -> tuple[list[Query], list[str]]:
    """Return the newest rows of the test part as queries in original ids, and their labels; "" for an unknown one.

    Models of different vocabularies can be compared on them.
    """
    sessions = read_sessions(data / "test.h5")
    pages, items = (_labels(data / name, sessions.slots) for name in ("pages.txt", "items.txt"))
    known = sessions.page > 0
    page, dwell = sessions.page[known].tolist(), sessions.dwell[known].tolist()
    rows = rows_of(sessions, spec.window, "last")
    rows = rows[max(len(rows) - JUDGED, 0) : len(rows)]
    queries = []
    for session, first, stop in zip(rows.session.tolist(), rows.first.tolist(), rows.stop.tolist(), strict=True):
        begin, end = sessions.bought_offset[session : session + 2]
        views = [(pages[one], seconds) for one, seconds in zip(page[first:stop], dwell[first:stop], strict=True)]
        queries.append(Query(views, [items[one] for one in sessions.bought[begin:end].tolist()]))
    return queries, [items[label] for label in rows.label.tolist()]


def _labels(vocabulary: Path, slots: Slots | None) -> list[str]:
    """Return the original ids by id; of slots, whose own are not kept, some that no vocabulary can hold."""
    found = ["", *Vocabulary.read(vocabulary).labels]
    if slots:
        found += ["\n"] * (slots.after + 1 - len(found)) + [f"\n{number}" for number in range(1, slots.count + 1)]
    return found


def reciprocal_rank(model: Model, queries: list[Query], labels: list[str]) -> float:
    """Return the mean of 1/rank of each label among the items answered; 0 for one that is not among them."""
    found = []
    for begin in range(0, len(queries), CHUNK):
        answers = model.recommend(queries[begin : begin + CHUNK])
        for answer, label in zip(answers, labels[begin : begin + CHUNK], strict=True):
            ranked = [item for item, _ in answer.items]
            found.append(1 / (ranked.index(label) + 1) if label in ranked else 0.0)
    return float(np.mean(found)) if found else 0.0


def publish(version: Path, model: Path) -> Path:
    """Copy a version folder into the repository's ``model`` folder under the next number, whole or not at all.

    Returns the new model.onnx.
    """
    model.mkdir(parents=True, exist_ok=True)
    number = 1 + max((version_number(one.name) or 0 for one in model.iterdir()), default=0)
    beside = model / f".{number}"
    shutil.rmtree(beside, ignore_errors=True)  # what a kill left half written
    shutil.copytree(version, beside)
    if (config := version.parent / "config.pbtxt").is_file():
        shutil.copyfile(config, model / "config.pbtxt")
    beside.rename(model / str(number))
    return model / str(number) / "model.onnx"


def prune(model: Path, keep: int) -> None:
    """Remove all versions of a model but the newest ``keep``; each goes whole, and what a kill left of one goes too."""
    numbers = sorted(int(one.name) for one in model.iterdir() if one.name.isdecimal())
    for number in numbers[: max(0, len(numbers) - keep)]:
        (model / str(number)).rename(model / f".{number}")
    for left in model.glob(".[0-9]*"):
        shutil.rmtree(left, ignore_errors=True)
