"""A training run: a folder prepared, a net trained in it by Caffe's solver, its model exported."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from generator.codegen.artefacts import write
from generator.errors import TrainingError
from generator.files import write_text
from generator.spec import dump_spec, load_spec
from generator.spec.schema import Spec
from generator.train.batches import Batches, Order, load_split
from generator.train.exchange import Exchange
from generator.train.export import check_vocabularies, export
from generator.train.generated import Generated
from generator.train.graphs import check_provider
from generator.train.iterations import Iterations, Progress
from generator.train.metrics import Metrics
from generator.train.snapshots import Snapshots
from generator.train.solver import Rule
from generator.train.start import Note, start_from
from generator.train.testing import Tester

__all__ = ["Progress", "Result", "prepare", "train"]

# The fields of a spec that a resumed run may not change: its snapshots are of that net.
NET_FIELDS = ("name", "net", "pages", "items", "rnn", "fnn", "head", "loss")


@dataclass(frozen=True)
class Result:
    """What a training run came to.

    Attributes
    ----------
    iterations
        Updates made in all, those before a resume included.
    loss
        Mean training loss of the last metrics line.
    seconds
        Wall time of the run, earlier parts included.
    samples_per_second
        Training rows a second in this part, test passes and snapshots left out; 0 if nothing was left to do.
    model
        The exported model.onnx; None if a signal stopped the run.
    signal
        SIGINT or SIGTERM if that stopped the run; 0 if it came to its end.
    """

    iterations: int
    loss: float
    seconds: float
    samples_per_second: float
    model: Path | None
    signal: int = 0


def train(
    spec: Spec,
    data: Path,
    run: Path,
    *,
    resume: bool | Path = False,
    weights: Path | None = None,
    threads: int = 0,
    provider: str = "cpu",
    order: Order = "shuffle",
    until: int | None = None,
    exchange: Exchange | None = None,
    progress: Progress | None = None,
    note: Note | None = None,
) -> Result:
    """Train the net of ``spec`` on ``data`` and export it.

    SIGINT and SIGTERM, in the main thread, finish the update under way, write a snapshot and return. On one machine
    the same spec, data, order and threads give the same bits, however often the run is killed and resumed.

    Parameters
    ----------
    spec
        The architecture and its solver.
    data
        A folder of `drn sessions`: train.h5, pages.txt, items.txt, and for test passes valid.h5 or else test.h5.
    run
        The folder to make: spec.yaml, the generated texts, train.txt, test.txt, metrics.jsonl, snapshots/, models/.
    resume
        True: go on from the newest snapshot in ``run``; a path: from that .solverstate in ``run``.
    weights
        A .caffemodel to start from, or the folder of a run, for its newest snapshot; what they lack of the net, or all
        without them, starts by the spec's fillers with its random_seed.
    threads
        Intra-op threads of onnxruntime; 0: as many as train this net fastest.
    provider
        ``cpu``, or ``cuda`` for onnxruntime's on an NVIDIA GPU, which does not promise the same bits again.
    order
        ``shuffle``: epoch e is a permutation that depends on (random_seed, e) alone; ``file``: as real Caffe reads.
    until
        Iteration to stop and export at, if it comes before max_iter; a resumed run goes on as if it had not stopped.
    exchange
        What connects this learner, the first, with others that train the net with it; see `Learner`.
    progress
        Called with iteration, loss and samples per second, at most ten times a second.
    note
        Told what a person should know: which weights were taken, and that nothing is tested.

    Raises
    ------
    DataError
        If the data do not fit the spec.
    ModelError
        If a snapshot does not hold or is of another net, or ``weights`` does not hold or has nothing of this net.
    TrainingError
        If ``run`` holds a run already, there is none to resume, onnxruntime lacks the provider, or the loss is not
        finite: the snapshots stay.
    """
    check_provider(provider)
    if resume and weights:
        raise TrainingError("a resumed run takes the weights of its snapshot: leave weights out")
    note = note or (lambda _: None)
    train_rows = load_split(data / "train.h5", spec)
    test_split = held_out(data)
    test_rows = load_split(test_split, spec) if test_split else None
    check_vocabularies(data, spec)

    made = Generated.of(spec)
    snapshots = Snapshots(run / "snapshots", spec.name, made.net, made.deploy)
    start = _snapshot_to_resume(spec, run, snapshots, resume) if resume else None
    if start is None:
        _refuse_used(run, snapshots)
    threads = threads or made.threads()
    # Read before anything is written: files that do not hold leave the run as it was.
    state = None
    if start is not None:
        values, state = snapshots.load(start, made.shapes, Rule(spec.solver).histories)
    else:
        values = start_from(weights, made, data, note) if weights else made.fresh()

    snapshots.tidy()
    prepare(spec, made.files, data, run)
    if test_rows is None:
        note(f"{data} has no valid.h5 and no test.h5, so nothing is tested; test.txt, for real Caffe, names train.h5")
    learner = made.learner(values, state=state, threads=threads, provider=provider, exchange=exchange)
    del values, state  # the learner has copies of most
    if start is None:
        # Iteration 0 is kept too: a run resumes from its first moment on, without the weights it was given.
        snapshots.save(learner)
    else:
        snapshots.restore_rows(learner)
    learner.align()

    batches = Batches.of(spec, train_rows, order=order, tables=list(learner.tables))
    tester = None
    if test_rows is not None:
        once = Batches(test_rows, spec.solver.batch_size).once(spec.solver.test_iter)
        tester = Tester(
            made.files["loss.onnx"], made.files["model.onnx"], learner.weights, once, top_k=spec.top_k, threads=threads
        )
    metrics = Metrics(run / "metrics.jsonl", learner.iteration)
    iterations = Iterations(
        spec.solver,
        learner,
        batches,
        tester=tester,
        snapshots=snapshots,
        metrics=metrics,
        until=until,
        progress=progress,
    )
    stopped = iterations.run()
    model = (
        None
        if stopped
        else export(run / "models", spec, made.files, learner.weights, iteration=learner.iteration, data=data)
    )
    return Result(learner.iteration, iterations.loss, iterations.seconds, iterations.samples_per_second, model, stopped)


def prepare(spec: Spec, files: Mapping[str, bytes], data: Path, run: Path) -> None:
    """Write what real Caffe and a reader need to train in ``run``: the generated texts, the HDF5 lists, spec.yaml.

    The lists name the data relative to ``run``, where Caffe runs. Without a held-out split test.txt names train.h5: the
    solver asks for a test net, and Caffe starts no other. The binary graphs stay out: with their parameters
    as inputs they serve nothing but training.
    """
    write_text(run / "train.txt", _relative(data / "train.h5", run))
    write_text(run / "test.txt", _relative(held_out(data) or data / "train.h5", run))
    write({name: content for name, content in files.items() if not name.endswith(".onnx")}, run)
    write_text(run / "spec.yaml", dump_spec(spec))


def held_out(data: Path) -> Path | None:
    """Return the split the test passes read: valid.h5, else test.h5, else None."""
    return next((data / name for name in ("valid.h5", "test.h5") if (data / name).exists()), None)


def _relative(path: Path, run: Path) -> str:
    return Path(os.path.relpath(path.resolve(), run.resolve())).as_posix() + "\n"


def _refuse_used(run: Path, snapshots: Snapshots) -> None:
    """Refuse a folder that holds a run, or anything else; one that was prepared and came no further is fine."""
    if (newest := snapshots.newest()) is not None:
        raise TrainingError(
            f"{run}: holds a run already, at iteration {newest}; go on with --resume, or take another folder"
        )
    if run.exists() and not run.is_dir():
        raise TrainingError(f"{run}: is a file; a run wants a folder")
    if run.is_dir() and any(run.iterdir()) and not (run / "train.txt").exists():
        raise TrainingError(f"{run}: is not empty and holds no run; take a new folder")


def _snapshot_to_resume(spec: Spec, run: Path, snapshots: Snapshots, resume: bool | Path) -> int:
    """Return the iteration to resume from."""
    if isinstance(resume, bool):
        iteration = snapshots.newest()
        if iteration is None:
            raise TrainingError(f"{run}: no snapshot to resume; train without --resume")
    else:
        iteration = _iteration_of(resume, snapshots)
    if not (run / "spec.yaml").is_file():
        raise TrainingError(f"{run}: holds snapshots but no spec.yaml; take the folder of a drn train run")
    before = load_spec(run / "spec.yaml")
    changed = [field for field in NET_FIELDS if getattr(before, field) != getattr(spec, field)]
    if changed:
        raise TrainingError(
            f"{run}: was begun with another net: {', '.join(changed)} differ from its spec.yaml; resume with the same "
            "net (the solver may change), or train in a new folder"
        )
    return iteration


def _iteration_of(state: Path, snapshots: Snapshots) -> int:
    match = re.search(r"_iter_(\d+)\.solverstate$", state.name)
    if not match or state.resolve() != snapshots.path(int(match[1]), ".solverstate").resolve() or not state.is_file():
        raise TrainingError(
            f"{state}: is no snapshot of this run; its snapshots are {snapshots.path(0, '.solverstate').parent}/"
            "<name>_iter_<k>.solverstate"
        )
    return int(match[1])
