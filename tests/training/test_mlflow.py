"""The run of MLflow that a training logs to, read back by MLflow's own client."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from generator.cli import drn
from generator.errors import TrainingError
from generator.spec import dump_spec
from generator.spec.schema import Spec
from generator.training.run.train import TrainOptions, train

mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed: pip install 'drn-recommender[mlflow]'")

Make = Callable[..., Spec]


def runs(folder: Path) -> tuple[Any, list[Any]]:
    """Return MLflow's client and the runs of the experiment ``small``."""
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    return client, client.search_runs([client.get_experiment_by_name("small").experiment_id])


def logged(client: Any, run: Any, name: str) -> list[tuple[int, float]]:
    return [(each.step, each.value) for each in client.get_metric_history(run.info.run_id, name)]


def lines(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_the_metrics_and_the_fields_of_the_spec(tmp_path: Path, data: Path, make_spec: Make) -> None:
    train(make_spec(), data, tmp_path / "run", TrainOptions(threads=1, mlflow=str(tmp_path / "ml")))
    client, (run,) = runs(tmp_path / "ml")
    assert (run.info.run_name, run.info.status) == ("run", "FINISHED")
    written = lines(tmp_path / "run")
    for name in ("loss", "lr", "test_loss", "test_accuracy_top3"):
        wanted = [(line["iteration"], line[name]) for line in written if name in line]
        assert logged(client, run, name) == wanted
    assert run.data.params["solver.base_lr"] == "0.2"
    assert run.data.params["rnn.widths"] == "[8, 6]"


def test_a_resumed_training_goes_on_with_its_run(tmp_path: Path, data: Path, make_spec: Make) -> None:
    at = str(tmp_path / "ml")
    train(make_spec(), data, tmp_path / "run", TrainOptions(threads=1, mlflow=at, until=20))
    for path in (tmp_path / "run/snapshots").glob("*_20.*"):
        path.unlink()  # as after a kill: iterations 11 to 20 are trained, and would be logged, again
    train(make_spec(), data, tmp_path / "run", TrainOptions(threads=1, mlflow=at, resume=True))
    client, (run,) = runs(tmp_path / "ml")
    assert [step for step, _ in logged(client, run, "loss")] == [line["iteration"] for line in lines(tmp_path / "run")]
    train(make_spec(), data, tmp_path / "other", TrainOptions(threads=1, mlflow=at))
    assert len(runs(tmp_path / "ml")[1]) == 2


def test_the_nets_of_an_ensemble_are_named_after_it(tmp_path: Path, data: Path, make_spec: Make) -> None:
    train(make_spec(ensemble=2), data, tmp_path / "shop", TrainOptions(threads=1, mlflow=str(tmp_path / "ml")))
    _, found = runs(tmp_path / "ml")
    assert sorted(each.info.run_name for each in found) == ["shop/1", "shop/2"]
    assert {each.data.tags["ensemble"] for each in found} == {str((tmp_path / "shop").resolve())}


def test_a_training_that_breaks_is_a_failed_run(tmp_path: Path, data: Path, make_spec: Make) -> None:
    with pytest.raises(TrainingError):
        train(make_spec(solver={"base_lr": 1e9}), data, tmp_path / "run", TrainOptions(mlflow=str(tmp_path / "ml")))
    assert runs(tmp_path / "ml")[1][0].info.status == "FAILED"


def test_a_server_that_is_not_there_ends_the_training_before_it_begins(
    tmp_path: Path, data: Path, make_spec: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrainingError, match=r"^MLflow at localhost:1: "):
        train(make_spec(), data, tmp_path / "run", TrainOptions(mlflow="http://user:secret@localhost:1"))
    assert not (tmp_path / "run").exists()


def test_a_store_that_fails_later_costs_a_note(tmp_path: Path, data: Path, make_spec: Make) -> None:
    notes: list[str] = []

    def remove(_iteration: int, _loss: float, _speed: float) -> None:
        (tmp_path / "ml/mlflow.db").write_bytes(b"no database")

    options = TrainOptions(threads=1, mlflow=str(tmp_path / "ml"))
    assert train(make_spec(), data, tmp_path / "run", options, progress=remove, note=notes.append).model
    assert [note for note in notes if note.startswith("MLflow at ")] == [notes[-1]]
    assert "fails and is told no more" in notes[-1]


def test_the_command(tmp_path: Path, data: Path, make_spec: Make) -> None:
    (tmp_path / "spec.yaml").write_text(dump_spec(make_spec()))
    arguments = ["train", tmp_path / "spec.yaml", "--data", data, "-o", tmp_path / "run", "--mlflow", tmp_path / "ml"]
    done = CliRunner().invoke(drn, [str(each) for each in arguments])
    assert done.exit_code == 0, done.output
    assert len(runs(tmp_path / "ml")[1]) == 1
