"""One individual in a worker: its data cut to its window, its net generated, trained and ranked on valid.h5."""

import hashlib
import math
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from generator.codegen.artefacts import generate
from generator.data.store.split import Split
from generator.errors import DataError, TrainingError
from generator.evaluation.evaluate import evaluate
from generator.evaluation.metrics import HEADLINES
from generator.model.model import Model
from generator.model.session import open_session
from generator.onnxgraph.parse import parameter_shapes, parse
from generator.spec import Spec
from generator.spec.blobs import INPUTS
from generator.training.run.train import TrainOptions, train

__all__ = [
    "RungJob",
    "Score",
    "check_data",
    "latency",
    "rank",
    "rows_in",
    "seed_of",
    "trained_as",
]


def rows_in(folder: Path) -> int:
    """Return the number of training rows of a folder that `rewindow_folder` made; 0 if it is not there yet."""
    if not folder.is_dir():
        return 0
    with Split(folder / "train.h5") as split_file:
        return split_file.rows


@dataclass(frozen=True)
class RungJob:
    """A training: of ``spec`` on ``data`` in the folder ``run``, up to iteration ``until``, going on from ``since``."""

    spec: Spec
    data: Path
    run: Path
    since: int
    until: int


@dataclass(frozen=True)
class Score:
    """What a training came to: the metrics on valid.h5 by HEADLINES, the number of parameters, the seconds it took."""

    metrics: dict[str, float]
    size: int
    seconds: float


def rank(job: RungJob) -> Score:
    """Generate, train and evaluate an individual; the same job gives the same bits on one machine.

    What an earlier rung left in ``job.run`` is gone on with; if it is not there any more, training starts anew and
    comes to the same weights.

    Raises
    ------
    DataError, ModelError, TrainingError
        As `train` and `evaluate`; a net that diverges is a TrainingError.
    """
    spec, start = job.spec, time.perf_counter()
    state = job.run / "snapshots" / f"{spec.name}_iter_{job.since}.solverstate"
    goes_on = job.since > 0 and state.is_file()
    if not goes_on:
        shutil.rmtree(job.run, ignore_errors=True)
    result = train(
        spec, job.data, job.run, TrainOptions(resume=state if goes_on else False, threads=1, until=job.until)
    )
    if result.model is None:
        raise TrainingError(f"a signal ({result.signal}) stopped the training")
    report = evaluate({"individual": Model(result.model, threads=1)}, job.data, split="valid", replicates=0)
    metrics = {name: report.methods[0].metrics[name].value for name in HEADLINES}
    return Score(metrics, _size(job.run / "model.onnxtxt"), round(time.perf_counter() - start, 4))


def _size(text: Path) -> int:
    """Return the number of parameters of a generated graph."""
    graph = parse(text.read_text(encoding="utf-8"), text.name)
    return sum(math.prod(shape) for shape in parameter_shapes(graph).values())


def latency(spec: Spec, calls: int = 200) -> float:
    """Return the milliseconds of one recommendation on one thread: the least median of five blocks of ``calls``/5.

    It depends on the graph alone, so the weights are the initial ones. Measure it while nothing else runs.
    """
    session = open_session(generate(spec, ["onnx", "binary"], init=0)["model.onnx"])
    feed = {
        one.name: np.ones((1, one.shape[1]), INPUTS[one.name].dtype)
        for one in session.get_inputs()
        if one.name in INPUTS
    }
    medians = []
    for _ in range(5):
        block = []
        for _ in range(calls // 5):
            start = time.perf_counter()
            session.run(["top_item", "top_probability"], feed)
            block.append(time.perf_counter() - start)
        medians.append(float(np.median(block)))
    return 1e3 * min(medians)


def seed_of(seed: int, spec_hash: str) -> int:
    """Return the solver.random_seed of an individual, 0..2**31-1, from the run's seed and its genome's hash."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{spec_hash}".encode()).digest()[:4], "big") >> 1


def trained_as(spec: Spec, seed: int, rows: int, epochs: float | None) -> Spec:
    """Return the spec an individual is trained as: its seed, its iterations, no snapshots before the end.

    Parameters
    ----------
    spec
        The genome's spec.
    seed
        As `seed_of`.
    rows
        Training rows.
    epochs
        Passes over them; None: the spec's own epochs or max_iter.
    """
    spec = spec.in_iterations(rows)
    solver = spec.solver
    iterations = solver.max_iter if epochs is None else solver.updates(epochs, rows)
    return spec.model_copy(
        update={
            "solver": solver.model_copy(
                update={
                    "random_seed": seed,
                    "max_iter": iterations,
                    "snapshot": iterations,
                    "test_interval": iterations,
                }
            )
        }
    )


def check_data(data: Path) -> None:
    """Refuse a data folder that has nothing to measure an individual on.

    Raises
    ------
    DataError
        train.h5 or valid.h5 is absent, or valid.h5 has no session.
    """
    if not (data / "train.h5").is_file():
        raise DataError(f"{data / 'train.h5'}: there is none; write it by: drn sessions LOG --spec SPEC -o {data}")
    if not (data / "valid.h5").is_file():
        raise DataError(
            f"{data / 'valid.h5'}: there is none, and individuals are measured on the validation split; hold one out "
            "by: drn sessions ... --valid-share 0.1"
        )
    with Split(data / "valid.h5") as split_file:
        if not split_file.rows:
            raise DataError(
                f"{data / 'valid.h5'}: it has no session, so there is nothing to measure individuals on; hold more out "
                "by: drn sessions ... --valid-share"
            )
