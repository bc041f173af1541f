"""The experiments of a plan in a folder: what is missing is trained, everything is kept, and the report is written."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from generator.data.rewindowed import Rewindow, remove_unfinished, rewindow_folder, window_name
from generator.errors import DrnError, TrainingError
from generator.evaluation.baselines import choose
from generator.experiment.claims import claims_of
from generator.experiment.document import DataFigures, ExperimentReport, FoldFigures
from generator.experiment.figures import draw
from generator.experiment.measure import measure
from generator.experiment.nets import NetVariant, baselines_of, nets_of, points_of
from generator.experiment.plan import ExperimentPlan
from generator.experiment.report import report
from generator.experiment.results import Results
from generator.experiment.shops import Fold, folds_of
from generator.experiment.work import (
    VERSIONS,
    RankingJob,
    Record,
    TrainingJob,
    key_of,
    perform,
    read_record,
    training_spec,
)
from generator.files import holds_more, write_bytes, write_text
from generator.jobs.cost import training_cost
from generator.jobs.locks import LOCK, locked
from generator.jobs.workers import Engine
from generator.spec import Spec

__all__ = ["Progress", "experiment"]

# Told the pieces of work done, how many there are in all, and what is being done.
Progress = Callable[[int, int, str], None]
Job = TrainingJob | RankingJob


@dataclass(frozen=True)
class _Folders:
    """Where things are: ``kept`` stays, ``work`` goes at the end."""

    out: Path

    @property
    def data(self) -> Path:
        return self.out / "data"

    @property
    def kept(self) -> Path:
        return self.out / "kept"

    @property
    def work(self) -> Path:
        return self.out / "work"

    def tidy(self) -> None:
        """Remove what a kill left half made; trainings under way stay."""
        for torn in self.data.glob(".make-*"):
            shutil.rmtree(torn, ignore_errors=True)
        remove_unfinished(self.work / "cuts")
        for torn in (*self.kept.glob(".*.npz"), *self.work.glob("*/.point-*.npz")):
            torn.unlink(missing_ok=True)


def experiment(
    plan: ExperimentPlan,
    out: Path,
    *,
    engine: Engine,
    root: Path | None = None,
    only: Sequence[str] = (),
    progress: Progress | None = None,
) -> ExperimentReport:
    """Run the experiments of ``plan`` and write the report; return what report.json holds.

    Every training and every baseline is kept in ``out``/kept under a hash of all it depends on, written beside and
    then renamed. After a kill at any moment the same call goes on from there, and comes to the same report apart from
    the seconds; with another plan it makes only what that plan has new.

    Parameters
    ----------
    plan
        What to try.
    out
        The folder: report.html, report.json, a PNG an experiment; data/ and kept/ for the next time.
    engine
        What does the work; it stays open.
    root
        Where relative paths of the plan's data begin; by default the plan's folder.
    only
        Names of experiments; by default all of the plan.
    progress
        Called as work is done.

    Raises
    ------
    DataError
        The data do not hold, or do not fit the nets.
    SpecError
        The plan has no experiment of a name in ``only``.
    DrnError
        Another process is at work in ``out``.
    TrainingError
        A training failed, or ``out`` holds something else.
    """
    tell = progress or (lambda _done, _total, _note: None)
    chosen, folders = plan.only(only), _Folders(out)
    if holds_more(out, LOCK) and not folders.kept.is_dir():
        raise TrainingError(f"{out}: is not empty and holds no run of drn experiment; take a new folder")
    with locked(out):
        folders.kept.mkdir(exist_ok=True)
        folders.tidy()
        folds = folds_of(chosen, root or plan.folder, folders.data, lambda note: tell(0, 0, note))
        results = _results(chosen, points_of(plan), folds, folders, engine, tell)
        document = _document(chosen, folds, results)
        figures = {name: draw(name, document.experiments[name]) for name in chosen.names}
        for name, png in figures.items():
            write_bytes(out / f"{name}.png", png)
        write_text(out / "report.json", json.dumps(document.as_json(), indent=1) + "\n")
        write_text(out / "report.html", report(document, figures))
        shutil.rmtree(folders.work, ignore_errors=True)
    return document


def _results(
    plan: ExperimentPlan,
    points: Mapping[str, Sequence[float]],
    folds: Sequence[Fold],
    folders: _Folders,
    engine: Engine,
    tell: Progress,
) -> Results:
    """Do what is missing, and read everything."""
    nets = {net.hash: net for name in plan.names for net in nets_of(plan, name).values()}
    baselines = list(dict.fromkeys(one for name in plan.names for one in baselines_of(plan, name)))
    trainings = {
        key: [
            [_training(net, seed, fold, points_in, folders) for fold, points_in in zip(folds, places, strict=True)]
            for seed in plan.seeds
        ]
        for key, net in nets.items()
        for places in [_points(net, points.get(key, []), folds)]
    }
    rankings = {
        one.name: [RankingJob(one.name, fold.folder, _kept(folders, key_of(one, fold.fingerprint))) for fold in folds]
        for one in choose(baselines)
    }
    jobs: list[Job] = [job for each in trainings.values() for seed in each for job in seed]
    jobs += [job for each in rankings.values() for job in each]
    records = _done({job.target: job for job in jobs}, engine, tell)
    return Results(
        folds,
        plan.seeds,
        {key: [[records[job.target] for job in seed] for seed in each] for key, each in trainings.items()},
        {name: [records[job.target] for job in each] for name, each in rankings.items()},
    )


def _kept(folders: _Folders, key: str) -> Path:
    return folders.kept / f"{key}.npz"


def _points(net: NetVariant, epochs: Sequence[float], folds: Sequence[Fold]) -> list[tuple[int, ...]]:
    """Return, fold by fold, the iterations after which a net is ranked: those of ``epochs``, and the last."""
    size = net.spec.solver.batch_size * net.spec.solver.iter_size
    places: list[list[int]] = [[] for _ in folds]
    ends = [net.iterations(fold.rows(net.spec), fold.rows(net.like)) for fold in folds]
    for epoch in epochs:
        at = [round(epoch * fold.rows(net.spec) / size) for fold in folds]
        # Taken where it is a place of its own in every fold, so that all folds have as many.
        if all((taken[-1] if taken else 0) < one < end for taken, one, end in zip(places, at, ends, strict=True)):
            for taken, one in zip(places, at, strict=True):
                taken.append(one)
    return [(*taken, end) for taken, end in zip(places, ends, strict=True)]


def _training(net: NetVariant, seed: int, fold: Fold, points: tuple[int, ...], folders: _Folders) -> TrainingJob:
    spec = training_spec(net.spec, seed, points[-1])
    key = key_of(spec, fold.fingerprint, points)
    data = folders.work / "cuts" / f"{fold.fingerprint[:12]}-{window_name(spec)}"
    return TrainingJob(spec, fold.folder, data, folders.work / key, _kept(folders, key), points)


def _done(jobs: dict[Path, Job], engine: Engine, tell: Progress) -> dict[Path, Record]:
    """Return the record of every job by its target, after doing those that are not there."""
    found = {target: read_record(target) for target in jobs}
    missing = [jobs[target] for target, record in found.items() if record is None]
    done, failed = len(jobs) - len(missing), []
    tell(done, len(jobs), "")
    # Baselines are done here: some bring libraries that do not outlive a worker in peace.
    for ranking in [job for job in missing if isinstance(job, RankingJob)]:
        tell(done, len(jobs), _name(ranking))
        try:
            perform(ranking)
        except DrnError as error:
            failed.append(f"{_name(ranking)}: {error}")
        else:
            found[ranking.target] = read_record(ranking.target)
        done += 1
    # The longest first, so that no worker is left with a long one at the end.
    trainings = sorted(
        (job for job in missing if isinstance(job, TrainingJob)), key=lambda job: -training_cost(job.spec)
    )
    _rewindow(trainings, engine)
    for outcome in engine.map(perform, trainings):
        job = trainings[outcome.index]
        done += 1
        if outcome.error is not None:
            failed.append(f"{_name(job)}: {outcome.error}")
        else:
            found[job.target] = read_record(job.target)
        tell(done, len(jobs), _name(job))
    if failed:
        raise TrainingError("\n".join([*failed, "all else is kept: fix the plan and run it again"]))
    records = {target: record for target, record in found.items() if record is not None}
    if len(records) < len(jobs):
        lost = next(target for target in jobs if target not in records)
        raise DrnError(f"{lost}: cannot be read back; is the disk full?")
    return records


def _rewindow(jobs: Sequence[TrainingJob], engine: Engine) -> None:
    wanted = {job.data: Rewindow(job.source, job.data, job.spec, ("train.h5",)) for job in jobs}
    for outcome in engine.map(rewindow_folder, list(wanted.values())):
        if outcome.error is not None:
            raise TrainingError(outcome.error)


def _name(job: Job) -> str:
    if isinstance(job, RankingJob):
        return job.baseline
    return f"{job.spec.name}, {job.spec.net}, seed {job.spec.solver.random_seed}"


def _document(plan: ExperimentPlan, folds: Sequence[Fold], results: Results) -> ExperimentReport:
    """Return what the plan came to."""
    found = {name: measure(plan, name, results) for name in plan.names}
    specs: dict[str, Spec] = plan.specs
    unknown = [int(fold.test["unknown"].sum()) for fold in folds]
    of_folds = [
        FoldFigures(fold.fingerprint, fold.items, fold.training_sessions, len(fold.test["session"]), count)
        for fold, count in zip(folds, unknown, strict=True)
    ]
    return ExperimentReport(
        title=plan.title or next(iter(specs.values())).name,
        plan=plan.model_dump(mode="json", exclude_none=True),
        variants={name: spec.model_dump(mode="json", exclude_defaults=True) for name, spec in specs.items()},
        data=DataFigures(of_folds, len(results.sessions), len(set(results.sessions.tolist())), sum(unknown)),
        versions=VERSIONS,
        claims=[claim for name in plan.names for claim in claims_of(name, found[name])],
        experiments=found,
    )
