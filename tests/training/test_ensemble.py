"""Runs of an ensemble: nets that are runs of their own, one model of them, the same bits after a kill at any moment."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from generator.data.build import Options, build
from generator.data.sessions.splits import Division
from generator.errors import TrainingError
from generator.mixture.mixture import Mixture
from generator.model.model import Model
from generator.onnxgraph.initialise import read_weights
from generator.shop.simulator import Shop, simulate
from generator.spec import dump_spec, load_spec
from generator.spec.schema import Spec
from generator.training.run.metrics import MetricsLog
from generator.training.run.rows import load_split
from generator.training.run.train import TrainOptions, train

Make = Callable[..., Spec]
ONE = TrainOptions(threads=1)


def scores(model: Path, blobs: dict[str, np.ndarray]) -> np.ndarray:
    found: np.ndarray = np.log(Model(model).scores(blobs).astype(np.float64))
    return found


def contents(run: Path) -> dict[str, bytes]:
    """Return what a run holds by name, but for the files that say how long it took."""
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name not in ("metrics.jsonl", ".lock")
    }


def test_the_model_is_the_mean_of_its_nets_each_a_run(tmp_path: Path, data: Path, make_spec: Make) -> None:
    spec = make_spec(ensemble=3)
    told: list[int] = []
    result = train(spec, data, tmp_path / "run", ONE, progress=lambda iteration, _loss, _speed: told.append(iteration))
    assert result.model == tmp_path / "run/models/small/1/model.onnx"
    assert result.iterations == told[-1] == 3 * spec.solver.max_iter
    assert told == sorted(told)
    rows = load_split(data / "test.h5", spec)
    each = [scores(tmp_path / f"run/members/{number}", rows) for number in (1, 2, 3)]
    assert np.abs(each[0] - each[1]).max() > 0.01
    mean = np.exp(np.mean(each, axis=0))
    np.testing.assert_allclose(
        Model(result.model).scores(rows), mean / mean.sum(axis=1, keepdims=True), rtol=1e-4, atol=1e-6
    )
    # The first is the net of the spec without an ensemble.
    train(make_spec(), data, tmp_path / "alone", ONE)
    weights = "snapshots/small_iter_30.caffemodel"
    assert (tmp_path / "run/members/1" / weights).read_bytes() == (tmp_path / "alone" / weights).read_bytes()
    losses = [MetricsLog.read(tmp_path / f"run/members/{number}/metrics.jsonl")[-1]["loss"] for number in (1, 2, 3)]
    assert MetricsLog.read(tmp_path / "run/metrics.jsonl")[-1]["loss"] == pytest.approx(np.mean(losses))
    assert load_spec(tmp_path / "run/spec.yaml") == spec


# Trains, and kills itself with SIGKILL just before the given time a file of the given name is renamed into place.
CHILD = """
import os, signal, sys
from pathlib import Path
from generator.spec import load_spec
from generator.training.run.train import TrainOptions, train

spec, data, run, name, times = *map(Path, sys.argv[1:4]), sys.argv[4], int(sys.argv[5])
seen = 0

def hook(happens, arguments):
    global seen
    if happens == "os.rename" and Path(str(arguments[1])).name == name:
        seen += 1
        if seen == times:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)
train(load_spec(spec), data, run, TrainOptions(threads=1, resume=(run / "members").is_dir()))
"""


def test_an_ensemble_killed_over_and_over_ends_with_the_same_bits(tmp_path: Path, data: Path, make_spec: Make) -> None:
    spec = make_spec(ensemble=2)
    train(spec, data, tmp_path / "whole", ONE)
    (tmp_path / "spec.yaml").write_text(dump_spec(spec))

    def child(name: str, times: int = 1) -> int:
        arguments = [str(tmp_path / "spec.yaml"), str(data), str(tmp_path / "killed"), name, str(times)]
        return subprocess.run([sys.executable, "-c", CHILD, *arguments], check=False, timeout=120).returncode

    moments = [
        ("solver.prototxt", 1),  # of the first net, before its first snapshot
        ("small_iter_20.solverstate", 1),
        ("manifest.json", 1),  # of the model of the first net
        ("small_iter_0.solverstate", 1),  # of the second net
        ("small_iter_30.caffemodel", 1),
        ("spec.yaml", 3),  # of the ensemble, after those of both nets
        ("config.pbtxt", 1),  # as texts of the ensemble are written, in its repository or before
    ]
    for moment in moments:
        assert child(*moment) == -signal.SIGKILL, moment
    assert child("none") == 0
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_a_signal_stops_the_net_under_way(tmp_path: Path, data: Path, make_spec: Make) -> None:
    spec, run = make_spec(ensemble=2), tmp_path / "run"

    def stop(iteration: int, _loss: float, _speed: float) -> None:
        if iteration > 30:  # the second net
            os.kill(os.getpid(), signal.SIGTERM)

    stopped = train(spec, data, run, ONE, progress=stop)
    assert (stopped.signal, stopped.model) == (signal.SIGTERM, None)
    assert not (run / "models").exists()
    train(spec, data, run, TrainOptions(threads=1, resume=True))
    train(spec, data, tmp_path / "whole", ONE)
    assert contents(run)["models/small/1/model.onnx"] == contents(tmp_path / "whole")["models/small/1/model.onnx"]


def test_more_nets_can_be_added(tmp_path: Path, data: Path, make_spec: Make) -> None:
    train(make_spec(ensemble=2), data, tmp_path / "run", ONE)
    result = train(make_spec(ensemble=3), data, tmp_path / "run", TrainOptions(threads=1, resume=True))
    assert result.model == tmp_path / "run/models/small/2/model.onnx"
    train(make_spec(ensemble=3), data, tmp_path / "three", ONE)
    names = ["page_embedding", "output_bias"]
    for name, ours in read_weights(result.model, names).items():
        np.testing.assert_array_equal(ours, read_weights(tmp_path / "three/models/small/1/model.onnx", names)[name])


def test_what_is_not_sensible_is_refused(tmp_path: Path, data: Path, make_spec: Make) -> None:
    spec, run = make_spec(ensemble=2), tmp_path / "run"
    with pytest.raises(TrainingError, match="train without --resume"):
        train(spec, data, run, TrainOptions(resume=True))
    train(make_spec(), data, tmp_path / "alone", ONE)
    with pytest.raises(TrainingError, match="already; go on with --resume"):
        train(spec, data, tmp_path / "alone", ONE)
    with pytest.raises(TrainingError, match="holds no members"):
        train(spec, data, tmp_path / "alone", TrainOptions(resume=True))
    with pytest.raises(TrainingError, match="is of one net"):
        train(spec, data, run, TrainOptions(resume=run / "members/1/snapshots/small_iter_10.solverstate"))
    assert not run.exists()


def test_the_mixture_is_fitted_to_all_nets_together(tmp_path: Path) -> None:
    simulate(tmp_path, Shop(sessions=3000, categories=4, items=10, seed=3))
    spec = Spec.model_validate(
        {
            "name": "mixed",
            "net": "rnn",
            "pages": 60,
            "items": 60,
            "top_k": 5,
            "rnn": {"window": 2, "widths": [6]},
            "head": {"tied": True, "skip": True, "mix": {"pages": 12, "newest": 2, "followers": 8}},
            "solver": {"batch_size": 32, "base_lr": 0.1, "max_iter": 80},
            "ensemble": 2,
        }
    )
    data = tmp_path / "data"
    build([tmp_path / "events.parquet"], data, spec, Options(division=Division(share=0.2, valid_share=0.2)), "mixed")
    result = train(spec, data, tmp_path / "run", ONE)
    fitted = [
        Mixture.read(path).fitted for path in (tmp_path / "run/mixture.h5", tmp_path / "run/members/1/mixture.h5")
    ]
    assert not np.array_equal(fitted[0].weight, fitted[1].weight)
    # What another ensemble has fitted is taken over, whole and net by net.
    again = train(spec, data, tmp_path / "again", TrainOptions(threads=1, mix_from=tmp_path / "run"))
    assert again.model.read_bytes() == result.model.read_bytes()
    taken = Mixture.read(tmp_path / "again/members/2/mixture.h5").fitted
    np.testing.assert_array_equal(taken.weight, Mixture.read(tmp_path / "run/members/2/mixture.h5").fitted.weight)
