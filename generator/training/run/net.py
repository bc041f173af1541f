"""The run of one net: a folder prepared, the net trained in it by Caffe's solver, its model exported."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from generator.codegen.net import net_of
from generator.errors import TrainingError
from generator.mixture.mixture import Fitted
from generator.spec.schema import Spec
from generator.training.engine.batches import Batches
from generator.training.engine.exchange import Exchange
from generator.training.engine.graph import check_provider
from generator.training.engine.learner import Learner
from generator.training.engine.solver import Rule
from generator.training.run.export import check_vocabularies, export
from generator.training.run.folder import held_out, prepare, refuse_used, snapshot_to_resume, taken
from generator.training.run.generated import Generated
from generator.training.run.loop import Loop, Progress
from generator.training.run.metrics import MetricsLog
from generator.training.run.mixing import FILE, fitted_of, mixture_of
from generator.training.run.options import FRESH, Result, TrainOptions
from generator.training.run.patience import PASSES, Patience
from generator.training.run.rows import fits, leaves_newest, load_split, load_training, rows_at_a_time, training_batches
from generator.training.run.snapshots import Snapshots
from generator.training.run.start import Note, start_from
from generator.training.run.testing import Tester
from generator.training.run.watch import MlflowRun, Watchers, tensorboard

__all__ = ["export_mixed", "train_net"]


REPLICA_ENDS = 30.0  # seconds
UNTESTED = "{data} has no valid.h5 and no test.h5, so nothing is tested; test.txt, for real Caffe, names train.h5"
MIXED = (
    "{data} has no valid.h5, so the newest sessions are left to the mixture, and the net does not see them; "
    "to train on all of them, train a second run with --mix-from this one"
)


def train_net(
    spec: Spec,
    data: Path,
    run: Path,
    options: TrainOptions = FRESH,
    *,
    exchange: Exchange | None = None,
    progress: Progress | None = None,
    note: Note | None = None,
) -> Result:
    """Train one net and export it, as `generator.training.run.train.train` does, which see."""
    note = note or _ignore
    check_provider(options.provider)
    fitted = fitted_of(options.mix_from, spec) if options.mix_from else None
    rows, worth = load_training(data, spec, fitted=fitted is not None)
    spec = spec.in_iterations(len(rows["label"]))
    if not fits(data / "train.h5", spec):
        note(f"{data}: was cut for other windows than the spec's; its rows are made anew from its sessions")
    if leaves_newest(data, spec, fitted=fitted is not None):
        note(MIXED.format(data=data))
    tested = held_out(data)
    test_rows = load_split(tested, spec) if tested else None
    check_vocabularies(data, spec)
    if options.patience and (tested is None or tested.stem != "valid"):
        raise TrainingError(
            f"{data / 'valid.h5'}: there is none, and patience is with the validation split; hold one out by: "
            "drn sessions ... --valid-share 0.1"
        )
    _tell_short(spec, len(rows["label"]), note)

    made = Generated.of(spec)
    made.require_memory()
    threads = options.threads or made.threads()
    snapshots = Snapshots(run / "snapshots", spec.name, made.net, made.deploy)
    mlflow = MlflowRun(options.mlflow, note) if options.mlflow else None  # before anything is written
    # A replica that takes the place of a lost one may have to wait for its end.
    with taken(run, wait=REPLICA_ENDS if exchange else 0.0):
        label = rows["label"]
        learner = _begin(made, snapshots, label, data, run, options, threads=threads, exchange=exchange, note=note)
        tester = None
        if tested and test_rows is not None:
            tester = _tester(made, tested.stem, test_rows, learner, threads)
        else:
            note(UNTESTED.format(data=data))
        stopping = Patience(run / PASSES, options.patience, learner.iteration) if options.patience else None
        with _watchers(options, run, spec, learner.iteration, mlflow) as watchers:
            loop = Loop(
                spec.solver,
                learner,
                training_batches(spec, rows, order=options.order, tables=list(learner.tables), worth=worth),
                end=options.end(spec.solver.max_iter),
                limit=options.seconds,
                tester=tester,
                snapshots=snapshots,
                metrics=MetricsLog(run / "metrics.jsonl", learner.iteration, watchers),
                progress=progress,
                stopping=stopping,
            )
            stopped = loop.run()
            model = None
            if not stopped:
                weights, iteration = _to_export(made, learner, snapshots, stopping, note)
                model = export_mixed(made, weights, data, run, fitted, iteration=iteration, threads=threads)
                watchers.finished = True
        return Result(learner.iteration, loop.loss, loop.seconds, loop.samples_per_second, model, stopped)


def _watchers(options: TrainOptions, run: Path, spec: Spec, iteration: int, mlflow: MlflowRun | None) -> Watchers:
    """Return what the metrics are given to beside metrics.jsonl."""
    writes = [tensorboard(run / "tensorboard", iteration)] if options.tensorboard else []
    if mlflow:
        mlflow.begin(run, spec, resumed=bool(options.resume))
    return Watchers(writes, mlflow)


def export_mixed(
    made: Generated,
    weights: Mapping[str, npt.NDArray[Any]],
    data: Path,
    run: Path,
    fitted: Fitted | None,
    *,
    iteration: int,
    threads: int,
    spec: Spec | None = None,
) -> Path:
    """Fit the mixture of a trained net, if it has one, and export both: RUN/mixture.h5 and a version in RUN/models.

    ``spec`` is what the version is of, by default the spec of the net. The rest is as of `mixture_of` and `export`.
    """
    net = made.spec
    if net.head.mix is not None:
        mixture = mixture_of(made, weights, data, fitted, threads)
        mixture.write(run / FILE)
        weights = {**weights, **mixture.parameters(net.seen, net_of(net).output_rows)}
    return export(run / "models", spec or net, made.files, weights, iteration=iteration, data=data)


def _begin(
    made: Generated,
    snapshots: Snapshots,
    label: npt.NDArray[np.integer],
    data: Path,
    run: Path,
    options: TrainOptions,
    *,
    threads: int,
    exchange: Exchange | None,
    note: Note,
) -> Learner:
    """Return the learner where the run starts or goes on, and have the folder hold what it is resumed from."""
    # Read before anything is written: files that do not hold leave the run as it was.
    state = None
    if options.resume:
        start = snapshot_to_resume(made.spec, run, snapshots, options.state)
        weights, state = snapshots.load(start, made.shapes, Rule(made.solver).histories)
    else:
        refuse_used(run, snapshots)
        given = options.weights
        weights = start_from(Path(given), made, label, data, note) if given else made.fresh(label)

    prepare(made.spec, made.files, data, run)
    learner = made.learner(weights, state=state, threads=threads, provider=options.provider, exchange=exchange)
    if state is None:
        # Iteration 0 is kept too: a run resumes from its first moment on, without the weights it was given.
        snapshots.save(learner)
    else:
        snapshots.restore_rows(learner)
    learner.align()
    return learner


def _to_export(
    made: Generated, learner: Learner, snapshots: Snapshots, stopping: Patience | None, note: Note
) -> tuple[Mapping[str, npt.NDArray[Any]], int]:
    """Return the weights to export and their iteration: the last, or with patience those of the best test pass."""
    if stopping is None or stopping.best is None:
        return learner.weights, learner.iteration
    note(f"{stopping}" + (", and none since gained: stopped" if stopping.over else ""))
    weights, _ = snapshots.load(stopping.best, made.shapes, Rule(made.solver).histories)
    return weights, stopping.best


def _tell_short(spec: Spec, rows: int, note: Note) -> None:
    """Say so where the training ends before each row was seen once."""
    solver = spec.solver
    once = solver.batch_size * solver.iter_size
    if (share := solver.max_iter * once / rows) < 1:
        note(
            f"max_iter {solver.max_iter} is {share:.2g} of one epoch, {once} of {rows:,} training rows an iteration; "
            "solver.epochs: 1 in its place would see each row once"
        )


def _tester(
    made: Generated, split: str, rows: Mapping[str, npt.NDArray[Any]], learner: Learner, threads: int
) -> Tester:
    """Return the test passes over the first rows of a split, in batches whose scores stay small beside the net."""
    spec = made.spec
    tested = {name: values[: spec.solver.test_iter * spec.solver.batch_size] for name, values in rows.items()}
    states = tested["label"].size // len(tested["label"])
    size = min(spec.solver.batch_size, rows_at_a_time(spec, states))
    return Tester(
        made.files["loss.onnx"],
        made.unmixed,
        learner.weights,
        Batches(tested, size).once(len(tested["label"])),
        split=split,
        top_k=spec.top_k,
        threads=threads,
    )


def _ignore(_: str) -> None:
    """Drop what a person should know: nobody asked."""
