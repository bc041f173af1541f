"""How a training run is asked for, and what it came to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from generator.errors import TrainingError
from generator.mixture.mixture import Fitted
from generator.training.engine.batches import Order

__all__ = ["FRESH", "Result", "TrainOptions"]


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
    mlflow
        Where MLflow is that the metrics go to too: a tracking URI, or a folder for its database; None: nowhere.
    until
        Iteration to stop and export at, if it comes before max_iter; a resumed run goes on as if it had not stopped.
    seconds
        Of the run, earlier parts included, after which it ends and exports as at ``until``; an ensemble divides them
        among its nets. None: it may take any time.
    threads
        Threads that compute; 0: as many as train this net fastest.
    provider
        ``cpu``, or ``cuda`` for an NVIDIA GPU, which keeps weights and history and promises no bits twice.
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
    mlflow: str | None = None
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
