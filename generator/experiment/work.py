"""One piece of work: a net trained and ranked at some iterations, or a baseline fitted and ranked; kept in one file."""

import hashlib
import json
import math
import shutil
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from generator.errors import TrainingError
from generator.files import replacing
from generator.spec import Spec, spec_hash
from generator.training.run.metrics import MetricsLog
from generator.training.run.mixing import FILE as MIXTURE
from generator.training.run.train import TrainOptions, train
from generator.version import __version__

if TYPE_CHECKING:
    from generator.evaluation.baseline import Baseline

__all__ = ["VERSIONS", "RankingJob", "Record", "TrainingJob", "key_of", "perform", "read_record", "training_spec"]

FORMAT = 1  # of a record
LINES = 40  # of the loss in the course of a training
VERSIONS = {"drn": __version__, "numpy": np.__version__, "onnxruntime": onnxruntime.__version__}


@dataclass(frozen=True)
class TrainingJob:
    """A net to train on ``data`` (the training part) and to rank on ``source``, after each of ``points`` iterations.

    It is done in ``work``, which is not there afterwards, and kept as the file ``target``.
    """

    spec: Spec
    source: Path
    data: Path
    work: Path
    target: Path
    points: tuple[int, ...]


@dataclass(frozen=True)
class RankingJob:
    """A baseline to fit and to rank on ``source``, and to keep as the file ``target``."""

    baseline: str
    source: Path
    target: Path


@dataclass(frozen=True)
class Record:
    """What is kept of a piece of work.

    Attributes
    ----------
    ranks
        float32 (P, R): the rank of each test row's label at each of P points; infinity is a miss.
    iteration, seconds
        int64 (P,), float64 (P,): where the points lie, and the seconds of training up to them. A baseline has one
        point, at iteration 0, with the seconds it took in all.
    curve
        float64 (C, 3): iteration, mean loss of the updates since the last line, seconds; a baseline has none.
    """

    ranks: NDArray[np.float32]
    iteration: NDArray[np.int64]
    seconds: NDArray[np.float64]
    curve: NDArray[np.float64]


def key_of(what: "Spec | Baseline", fingerprint: str, points: Sequence[int] = ()) -> str:
    """Return the name under which a piece of work is kept: a hash of all that its outcome depends on.

    Parameters
    ----------
    what
        The spec, seed and all, or a baseline, of which its name and its settings count.
    fingerprint
        Of the data.
    points
        Iterations after which a net is ranked.
    """
    of = spec_hash(what) if isinstance(what, Spec) else [what.name, what.settings]
    identity = json.dumps([FORMAT, of, fingerprint, list(points), VERSIONS], sort_keys=True)
    return hashlib.sha256(identity.encode()).hexdigest()[:24]


def training_spec(spec: Spec, seed: int, iterations: int) -> Spec:
    """Return the spec a net is trained as: its seed, its length with the steps of its rate, no snapshots between.

    Parameters
    ----------
    spec
        The net.
    seed
        The solver's random_seed.
    iterations
        Updates; stepsize and stepvalue are stretched as max_iter is, and stay where epochs said how long.
    """
    solver = spec.solver
    stretch = 1.0 if solver.epochs else iterations / solver.max_iter
    update = {
        "random_seed": seed,
        "max_iter": iterations,
        "epochs": None,
        "stepsize": max(1, round(solver.stepsize * stretch)),
        "stepvalue": [max(1, round(value * stretch)) for value in solver.stepvalue],
        "snapshot": iterations,
        "test_interval": iterations,
        "display": max(1, iterations // LINES),
    }
    return spec.model_copy(update={"solver": solver.model_copy(update=update)})


def perform(job: TrainingJob | RankingJob) -> float:
    """Do a piece of work and keep it; return the seconds it took. On one machine it gives the same bits each time.

    A training that was killed is gone on with from its last point.

    Raises
    ------
    DrnError
        As `train`, `row_ranks` and `choose`.
    """
    start = time.perf_counter()
    _write(job.target, _train(job) if isinstance(job, TrainingJob) else _rank(job))
    if isinstance(job, TrainingJob):
        shutil.rmtree(job.work, ignore_errors=True)
    return time.perf_counter() - start


def _train(job: TrainingJob) -> Record:
    from generator.evaluation.evaluate import row_ranks
    from generator.model.model import Model

    ranks: list[NDArray[np.float32]] = []
    seconds: list[float] = []
    for point in job.points:
        kept = job.work / f"point-{point}.npz"
        if (found := _read(kept)) is None:
            started = any((job.work / "run").rglob(f"{job.spec.name}_iter_*.solverstate"))  # of a member too
            if not started:
                shutil.rmtree(job.work / "run", ignore_errors=True)
            options = TrainOptions(resume=started, threads=1, until=point, mix_from=_mixture(job, point))
            result = train(job.spec, job.data, job.work / "run", options)
            if result.model is None:
                raise TrainingError(f"a signal ({result.signal}) stopped the training")
            found = {
                "ranks": row_ranks(Model(result.model, threads=1), job.source).astype(np.float32),
                "seconds": np.array(result.seconds),
            }
            _save(kept, found)
        ranks.append(found["ranks"])
        seconds.append(float(found["seconds"]))
    curve = _curve(MetricsLog.read(job.work / "run" / "metrics.jsonl"), job.spec.solver.display)
    return Record(np.stack(ranks), np.array(job.points, np.int64), np.array(seconds), curve)


def _mixture(job: TrainingJob, point: int) -> Path | None:
    """Return the run whose mixture the net takes, trained for it; None where the spec has none.

    It leaves the newest sessions of training out and is fitted to them; the net that is ranked is trained on all.
    """
    if job.spec.head.mix is None:
        return None
    run = job.work / f"mixture-{point}"
    if not (run / MIXTURE).is_file():
        shutil.rmtree(run, ignore_errors=True)
        if train(job.spec, job.data, run, TrainOptions(threads=1, until=point)).model is None:
            raise TrainingError("a signal stopped the training of the mixture")
    return run


def _curve(lines: Sequence[Mapping[str, float]], display: int) -> NDArray[np.float64]:
    """Return iteration, loss and seconds, (C, 3), at every ``display`` iterations and at the end.

    The lines in between, of the points, are means of fewer updates: they are merged into the next.
    """
    found, first, total, before = [], 0.0, 0.0, 0.0
    for line in lines:
        total += line["loss"] * (line["iteration"] - before)
        before = line["iteration"]
        if before % display == 0 or line is lines[-1]:
            found.append([before, total / (before - first), line["seconds"]])
            first, total = before, 0.0
    return np.array(found).reshape(-1, 3)


def _rank(job: RankingJob) -> Record:
    from generator.evaluation.baselines import choose
    from generator.evaluation.evaluate import row_ranks

    start = time.perf_counter()
    (baseline,) = choose([job.baseline])
    ranks = row_ranks(baseline, job.source).astype(np.float32)
    seconds = time.perf_counter() - start
    return Record(ranks[None], np.zeros(1, np.int64), np.array([seconds]), np.empty((0, 3)))


def _save(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    with replacing(path) as beside, beside.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for its own flag


def _write(path: Path, record: Record) -> None:
    names = ("ranks", "iteration", "seconds", "curve")
    _save(path, {name: getattr(record, name) for name in names})


def _read(path: Path) -> dict[str, NDArray[Any]] | None:
    """Return the arrays of a file; None where it is absent or no file of ours."""
    try:
        with np.load(path, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None


def read_record(path: Path) -> Record | None:
    """Return the record kept at ``path``; None where there is none, or none that holds."""
    found = _read(path)
    try:
        record = Record(**found) if found else None
    except TypeError:
        return None
    return record if record is not None and record.ranks.ndim == 2 and math.prod(record.ranks.shape) else None
