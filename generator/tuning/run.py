"""A tuning run in its folder: journal, history, best spec, front and report."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from generator.data.rewindowed import remove_unfinished
from generator.errors import TrainingError
from generator.files import holds_more, write_text
from generator.jobs.locks import LOCK
from generator.jobs.workers import Engine
from generator.spec import dump_spec
from generator.training.run.export import check_vocabularies
from generator.tuning.confirm import Confirmation, confirm, foremost
from generator.tuning.history import Individual, Status
from generator.tuning.identity import identity_of
from generator.tuning.individual import check_data
from generator.tuning.journal import Journal
from generator.tuning.plan import TuningPlan
from generator.tuning.report import Found, report
from generator.tuning.sampler import require, versions
from generator.tuning.search import Search
from generator.tuning.trainings import Trainings

__all__ = ["TuningResult", "tune"]

JOURNAL = "journal.jsonl"


@dataclass(frozen=True)
class TuningResult:
    """What a tuning run came to.

    Attributes
    ----------
    history
        All individuals in the order they were drawn.
    best
        The most accurate: on other seeds, if the best were trained again.
    front
        Those that none dominates, the most accurate first.
    confirmed
        What the best came to on other seeds, the best of them first; empty where the plan does not want it.
    trained, epochs
        Individuals trained, and passes over the training rows they made; earlier parts of the run included.
    seconds
        Wall time, earlier parts included.
    work_seconds
        Seconds the workers spent on generating, training and evaluating in this part.
    end
        Why the run ended.
    """

    history: tuple[Individual, ...]
    best: Individual
    front: tuple[Individual, ...]
    confirmed: tuple[Confirmation, ...]
    trained: int
    epochs: float
    seconds: float
    work_seconds: float
    end: str


def tune(
    plan: TuningPlan,
    data: Path,
    run: Path,
    *,
    engine: Engine,
    resume: bool = False,
    cuts: Path | None = None,
    progress: Callable[[Status], None] | None = None,
) -> TuningResult:
    """Search the space of ``plan`` on ``data``, and write what is found to ``run``.

    The history does not depend on the number of workers, nor on kills in between: an individual's seed follows from
    the run's seed and its genome, a generation is told in the order it was drawn, and all results are in the journal
    before they are used. A measured latency, or a budget in minutes, is as it was when it was written down.

    Parameters
    ----------
    plan
        What to search, for how long.
    data
        A folder of `drn sessions` with a validation split.
    run
        The folder to make: journal.jsonl, history.jsonl, best.yaml, report.html, with several objectives front/.
    engine
        What trains the individuals; it stays open.
    resume
        Whether to go on with the run in ``run``; its budget may be another.
    cuts
        Folder for the data made for other windows; by default ``run``/data. Runs on the same data may share it.
    progress
        Called after each training.

    Raises
    ------
    DataError
        The data do not fit, or have no validation split.
    DrnError
        Another process is at work in ``run``.
    SpecError
        The space holds an invalid spec that `load_plan` did not meet.
    TrainingError
        ``run`` holds a run already or something else, the journal is of another search, or no individual was trained.
    """
    require(plan)
    if holds_more(run, LOCK) and not (run / JOURNAL).exists():
        raise TrainingError(f"{run}: is not empty and holds no run of drn tune; take a new folder")
    check_data(data)
    start = plan.space.spec({name: gene.extremes()[0] for name, gene in plan.search.items()})
    check_vocabularies(data, start)
    identity = identity_of(plan, data)
    cuts = (cuts or run / "data") / str(identity["data"])
    with Journal(run / JOURNAL, identity, resume=resume, versions=versions(plan)) as journal:
        if cuts.parent == run / "data":
            remove_unfinished(cuts)
        trainings = Trainings(plan, data, run, cuts, engine, journal)
        search = Search(plan, trainings, progress, _keep)
        try:
            search.run()
            confirmed = _confirmed(search)
        finally:
            trainings.close()
    front = search.front()
    result = TuningResult(
        tuple(search.history),
        confirmed[0].individual if confirmed else front[0],
        tuple(front),
        tuple(confirmed),
        trainings.count,
        trainings.epochs,
        trainings.seconds,
        trainings.work_seconds,
        search.end,
    )
    write_text(run / "best.yaml", _commented(search, result.best, confirmed))
    found = Found(result.history, result.front, result.best, result.confirmed)
    write_text(run / "report.html", report(plan, found, search.status(), search.end))
    shutil.rmtree(run / "work", ignore_errors=True)
    return result


def _confirmed(search: Search) -> list[Confirmation]:
    """Train the best of the search again on other seeds, if the plan wants it."""
    if not search.front():
        raise TrainingError(f"{search.trainings.folder}: no individual was trained to its end; see history.jsonl")
    wanted = search.plan.confirm
    if wanted is None:
        return []
    return confirm(search.trainings, foremost(search.trained, wanted.best), wanted.seeds)


def _keep(search: Search) -> None:
    """Write what a generation added."""
    run, front = search.trainings.folder, search.front()
    lines = [json.dumps(each.as_json()) + "\n" for each in search.history]
    write_text(run / "history.jsonl", "".join(lines))
    if front:
        write_text(run / "best.yaml", _commented(search, front[0]))
    if len(search.plan.objectives) > 1:
        names = [f"{place:02d}.yaml" for place in range(1, len(front) + 1)]
        for name, each in zip(names, front, strict=True):
            write_text(run / "front" / name, _commented(search, each))
        for path in (run / "front").glob("*.yaml"):
            if path.name not in names:
                path.unlink()


def _commented(search: Search, each: Individual, confirmed: Sequence[Confirmation] = ()) -> str:
    """Return the spec of an individual, with a comment that says how it was found."""
    plan, values = search.plan, each.values or {}
    figures = ", ".join(f"{name} {values[name]:.4g}" for name in plan.objectives if name != "size")
    again = "".join(
        f"# On {len(one.repeats)} other seeds, by which it was chosen among {len(confirmed)}: mean "
        f"{plan.objectives[0]} {one.mean:.4g}.\n"
        for one in confirmed[:1]
    )
    return (
        f"# Found by drn tune ({plan.sampler}, seed {plan.seed}): individual {each.number} of generation "
        f"{each.generation}, of {search.trainings.count} trained.\n"
        f"# On the validation split: {figures}; {values['size']:,} parameters.\n"
        f"{again}"
        "# To train it again to the same weights: drn sessions with this spec, then drn train --threads 1.\n"
        f"{dump_spec(each.spec)}"
    )
