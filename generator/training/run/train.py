"""A training run: a folder prepared, a net trained in it by Caffe's solver, its model exported."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt

from generator.codegen.net import net_of
from generator.errors import TrainingError
from generator.mixture.mixture import Fitted
from generator.spec.schema import Spec
from generator.training.engine.batches import Batches, Order
from generator.training.engine.exchange import Exchange
from generator.training.engine.graph import check_provider
from generator.training.engine.learner import Learner
from generator.training.engine.solver import Rule
from generator.training.run.export import check_vocabularies, export
from generator.training.run.folder import held_out, prepare, refuse_used, snapshot_to_resume, taken
from generator.training.run.generated import Generated
from generator.training.run.loop import Loop, Progress
from generator.training.run.metrics import MetricsLog, tensorboard
from generator.training.run.mixing import FILE, fitted_of, mixture_of
from generator.training.run.patience import PASSES, Patience
from generator.training.run.rows import fits, load_split, load_training, training_batches
from generator.training.run.snapshots import Snapshots
from generator.training.run.start import Note, start_from
from generator.training.run.testing import Tester

__all__ = ["FRESH", "Result", "TrainOptions", "train"]


@dataclass(frozen=True)
class TrainOptions:
    """How a run starts, what it computes on, and where it ends.

    Attributes
    ----------
    resume
        True: go on from the newest snapshot of the run; a path: from that .solverstate of the run.
    weights
        A .caffemodel to start from, or the folder of a run, for its newest snapshot; what they lack of the net, or all
        without them, starts by the spec's fillers with its random_seed.
    order
        ``shuffle``: epoch e is a permutation that depends on (random_seed, e) alone; ``file``: as real Caffe reads.
    patience
        Test passes in a row without a lower loss of valid.h5 after which to stop; the snapshot of the lowest is
        exported. None: to the end.
    tensorboard
        Whether the metrics go to ``RUN/tensorboard`` too, as event files.
    until
        Iteration to stop and export at, if it comes before max_iter; a resumed run goes on as if it had not stopped.
    seconds
        Of the run, earlier parts included, after which it ends and exports as at ``until``; None: it may take any time.
    threads
        Intra-op threads of onnxruntime; 0: as many as train this net fastest.
    provider
        ``cpu``, or ``cuda`` for onnxruntime's on an NVIDIA GPU, which does not promise the same bits again.
    mix_from
        A run, or its mixture.h5, or what that holds: fitted weights, which ``head.mix`` takes in place of fitting them
        to held-out sessions; what is counted is counted in this run's data.

    Raises
    ------
    TrainingError
        If both ``resume`` and ``weights`` are given, or ``patience`` is under 1.
    """

    resume: bool | str | Path = False
    weights: str | Path | None = None
    order: Order = "shuffle"
    patience: int | None = None
    tensorboard: bool = False
    until: int | None = None
    seconds: float | None = None
    threads: int = 0
    provider: Literal["cpu", "cuda"] = "cpu"
    mix_from: str | Path | Fitted | None = None

    def __post_init__(self) -> None:
        if self.resume and self.weights:
            raise TrainingError("a resumed run takes the weights of its snapshot: leave weights out")
        if self.patience is not None and self.patience < 1:
            raise TrainingError(f"patience {self.patience} ends before it begins: at least 1 test pass")

    @property
    def state(self) -> Path | None:
        """The .solverstate to resume from; None for the newest, or if nothing is resumed."""
        return None if isinstance(self.resume, bool) else Path(self.resume)

    def end(self, max_iter: int) -> int:
        """Return the iteration to stop at."""
        return max_iter if self.until is None else min(max_iter, self.until)


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

    def __str__(self) -> str:
        """Return the result in one line."""
        return (
            f"iteration {self.iterations}: loss {self.loss:.4f}, {self.seconds:.1f} s, "
            f"{self.samples_per_second:,.0f} samples/s"
        )


FRESH = TrainOptions()
REPLICA_ENDS = 30.0  # seconds
UNTESTED = "{data} has no valid.h5 and no test.h5, so nothing is tested; test.txt, for real Caffe, names train.h5"


def train(
    spec: Spec,
    data: str | Path,
    run: str | Path,
    options: TrainOptions = FRESH,
    *,
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
    options
        Where to start, in which order, on how many threads; see `TrainOptions`.
    exchange
        What connects this learner, the first, with others that train the net with it; see `Learner`.
    progress
        Called with iteration, loss and samples per second, at most ten times a second.
    note
        Called with what a person should know: which weights were taken, and that nothing is tested.

    Returns
    -------
    Result
        Iterations, loss, speed, and the path of the exported model.

    Raises
    ------
    DataError
        If the data do not fit the spec.
    ModelError
        If a snapshot does not hold or is of another net, or ``weights`` does not hold or has nothing of this net.
    TrainingError
        If ``run`` holds a run already, there is none to resume, onnxruntime lacks the provider, or the loss is not
        finite: the snapshots stay.
    DrnError
        If another process is at work in ``run``.

    Examples
    --------
    >>> import generator as drn
    >>> spec = drn.load_spec("arch_specs/shop.yaml")
    >>> result = drn.train(spec, "data/shop", "runs/shop")  # doctest: +SKIP
    >>> drn.train(spec, "data/shop", "runs/shop", drn.TrainOptions(resume=True))  # doctest: +SKIP
    """
    data, run, note = Path(data), Path(run), note or _ignore
    check_provider(options.provider)
    fitted = fitted_of(options.mix_from, spec) if options.mix_from else None
    rows, worth = load_training(data, spec, fitted=fitted is not None)
    spec = spec.in_iterations(len(rows["label"]))
    if not fits(data / "train.h5", spec):
        note(f"{data}: was cut for other windows than the spec's; its rows are made anew from its sessions")
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
    threads = options.threads or made.threads()
    snapshots = Snapshots(run / "snapshots", spec.name, made.net, made.deploy)
    # A replica that takes the place of a lost one may have to wait for its end.
    with taken(run, wait=REPLICA_ENDS if exchange else 0.0):
        learner = _begin(made, snapshots, data, run, options, threads=threads, exchange=exchange, note=note)
        tester = None
        if tested and test_rows is not None:
            tester = _tester(made, tested.stem, test_rows, learner, threads)
        else:
            note(
                f"{data} has no valid.h5 and no test.h5, so nothing is tested; test.txt, for real Caffe, names train.h5"
            )
        stopping = Patience(run / PASSES, options.patience, learner.iteration) if options.patience else None
        also = tensorboard(run / "tensorboard", learner.iteration) if options.tensorboard else None
        loop = Loop(
            spec.solver,
            learner,
            training_batches(spec, rows, order=options.order, tables=list(learner.tables), worth=worth),
            end=options.end(spec.solver.max_iter),
            limit=options.seconds,
            tester=tester,
            snapshots=snapshots,
            metrics=MetricsLog(run / "metrics.jsonl", learner.iteration, also),
            progress=progress,
            stopping=stopping,
        )
        stopped = loop.run()
        model = None
        if not stopped:
            weights, iteration = _to_export(made, learner, snapshots, stopping, note)
            if spec.head.mix is not None:
                mixture = mixture_of(made, weights, data, fitted, threads)
                mixture.write(run / FILE)
                weights = {**weights, **mixture.parameters(spec.seen, net_of(spec).output_rows)}
            model = export(run / "models", spec, made.files, weights, iteration=iteration, data=data)
        return Result(learner.iteration, loop.loss, loop.seconds, loop.samples_per_second, model, stopped)


def _begin(
    made: Generated,
    snapshots: Snapshots,
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
        weights = start_from(Path(options.weights), made, data, note) if options.weights else made.fresh()

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
    """Return the test passes over the first rows of a split."""
    spec = made.spec
    return Tester(
        made.files["loss.onnx"],
        made.unmixed,
        learner.weights,
        Batches(rows, spec.solver.batch_size).once(spec.solver.test_iter),
        split=split,
        top_k=spec.top_k,
        threads=threads,
    )


def _ignore(_: str) -> None:
    """Drop what a person should know: nobody asked."""
