"""`drn train` refuses weights and snapshots that do not hold: by file and blob, exit status 2, the run as it was."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from caffe_process import Caffe
from caffe_runs import small_spec, snapshot, write_data

from generator.caffe.schema import SolverState, WeightsParameter
from generator.cli import main
from generator.spec import dump_spec
from generator.training.run.train import TrainOptions, train

pytestmark = pytest.mark.oracle

# Makes a bad file of a good one.
Spoil = Callable[[Path], None]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def csv(path: Path) -> None:
    path.write_text("page,item\n1,2\n")


def hdf5(path: Path) -> None:
    shutil.copy(path.parents[2] / "data" / "train.h5", path)


def message(kind: Any, change: Callable[[Any], None]) -> Spoil:
    """Return what reads the file as a protobuf message, changes it and writes it."""

    def spoil(path: Path) -> None:
        held = kind.FromString(path.read_bytes())
        change(held)
        path.write_bytes(held.SerializeToString())

    return spoil


def layer(model: Any, name: str) -> Any:
    return next(each for each in model.layer if each.name == name)


def turned(model: Any) -> None:
    layer(model, "output_rnn").blobs[0].shape.dim[:] = [4, 21]


def narrower(model: Any) -> None:
    blob = layer(model, "output_rnn").blobs[0]
    blob.shape.dim[:], blob.data = [21, 3], blob.data[: 4 * 21 * 3]


def too_few_numbers(model: Any) -> None:
    blob = layer(model, "output_rnn").blobs[0]
    blob.data = blob.data[:-4]


def no_bias(model: Any) -> None:
    del layer(model, "output_rnn").blobs[1:]


def no_layer(model: Any) -> None:
    model.layer.remove(layer(model, "output_rnn"))


def turned_history(state: Any) -> None:
    state.history[0].shape.dim[:] = state.history[0].shape.dim[::-1]


def adams_history(state: Any) -> None:
    state.history.extend(list(state.history))


MODELS: dict[str, tuple[Spoil, str]] = {
    "cut": (cut, "is no caffemodel, or is cut short"),
    "half": (half, "is no caffemodel, or is cut short"),
    "empty": (empty, "is empty, no caffemodel"),
    "csv": (csv, "is no caffemodel, or is cut short"),
    "hdf5": (hdf5, "is no caffemodel, or is cut short"),
    "turned": (message(WeightsParameter, turned), "layer output_rnn, blob 0 (output_rnn_weight) has shape 4x21, not"),
    "narrower": (message(WeightsParameter, narrower), "blob 0 (output_rnn_weight) has shape 21x3, not 21x4"),
    "too few numbers": (message(WeightsParameter, too_few_numbers), "holds 83 numbers, not the 84 of shape 21x4"),
    "no bias": (message(WeightsParameter, no_bias), "layer output_rnn has 1 blobs, not 2 (output_rnn_weight, output_"),
    # Of a snapshot only: weights to start from may lack some, as in Caffe.
    "no layer": (message(WeightsParameter, no_layer), "holds no output_rnn_weight; it would be in layer output_rnn."),
}
STATES: dict[str, tuple[Spoil, str]] = {
    "cut": (cut, "is no solverstate, or is cut short"),
    "half": (half, "is no solverstate, or is cut short"),
    "empty": (empty, "is empty, no solverstate"),
    "csv": (csv, "is no solverstate, or is cut short"),
    "hdf5": (hdf5, "is no solverstate, or is cut short"),
    "turned": (message(SolverState, turned_history), "history blob 0 has shape 5x301, not 301x5"),
    "Adam's": (message(SolverState, adams_history), "holds 26 history blobs, not 13. Is it of another net or solver"),
}


@pytest.fixture(scope="module")
def caffes_run(caffe: Caffe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run begun by drn whose snapshot of iteration 2 is Caffe's, beside its data and spec."""
    folder = tmp_path_factory.mktemp("caffe")
    spec = small_spec(solver={"max_iter": 4})
    (folder / "spec.yaml").write_text(dump_spec(spec))
    run = folder / "run"
    train(spec, write_data(folder / "data", spec, 20), run, TrainOptions(order="file", threads=1, until=0))
    trained = caffe.train(run / "solver.prototxt", 2, solverstate=snapshot(run, 0, ".solverstate"))
    shutil.copy(trained.caffemodel, snapshot(run, 2))
    shutil.copy(trained.solverstate, snapshot(run, 2, ".solverstate"))
    return run


@pytest.fixture
def run(caffes_run: Path, tmp_path: Path) -> Path:
    """A copy of Caffe's run, its data and spec."""
    shutil.copytree(caffes_run.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / "run"


@pytest.fixture
def drn(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """`drn train` of the spec with further arguments; returns what it says as it refuses."""

    def refused(*arguments: object) -> str:
        command = ["drn", "train", run.parent / "spec.yaml", "--data", run.parent / "data", *arguments]
        monkeypatch.setattr(sys, "argv", [str(each) for each in command])
        with pytest.raises(SystemExit) as exit_:
            main()
        assert exit_.value.code == 2
        return capsys.readouterr().err

    return refused


def everything(folder: Path) -> dict[Path, tuple[int, bytes]]:
    """What is in a folder, and when it was written."""
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("spoil", "said"), [*MODELS.values()][:-1], ids=[*MODELS][:-1])
def test_weights_that_do_not_hold(run: Path, drn: Callable[..., str], spoil: Spoil, said: str) -> None:
    bad = snapshot(run, 2)
    spoil(bad)
    text = drn("-o", run.parent / "new", "--weights", bad)
    assert f"{bad}: " in text
    assert said in text
    assert not (run.parent / "new").exists()


@pytest.mark.parametrize(("spoil", "said"), MODELS.values(), ids=MODELS)
def test_a_snapshot_whose_weights_do_not_hold(run: Path, drn: Callable[..., str], spoil: Spoil, said: str) -> None:
    spoil(snapshot(run, 2))
    before = everything(run)
    text = drn("-o", run, "--resume", "--set", "solver.base_lr=0.5")
    assert f"{snapshot(run, 2)}: " in text
    assert said in text
    assert everything(run) == before


@pytest.mark.parametrize(("spoil", "said"), STATES.values(), ids=STATES)
def test_a_snapshot_whose_state_does_not_hold(run: Path, drn: Callable[..., str], spoil: Spoil, said: str) -> None:
    state = snapshot(run, 2, ".solverstate")
    spoil(state)
    before = everything(run)
    for resume in (["--resume"], ["--resume", state]):
        text = drn("-o", run, *resume, "--set", "solver.base_lr=0.5")
        assert f"{state}: " in text
        assert said in text
        assert everything(run) == before


def test_another_solver_type(run: Path, drn: Callable[..., str]) -> None:
    before = everything(run)
    text = drn("-o", run, "--resume", "--set", "solver.type=Adam")
    assert f"{snapshot(run, 2, '.solverstate')}: holds 13 history blobs, not 26" in text
    assert everything(run) == before


def test_files_that_are_absent_or_of_another_kind(run: Path, drn: Callable[..., str]) -> None:
    new, state = run.parent / "new", snapshot(run, 2, ".solverstate")
    assert "nowhere.caffemodel: cannot be read: No such file" in drn("-o", new, "--weights", run / "nowhere.caffemodel")
    assert f"{state}: holds no parameter of small, none of page_embedding, " in drn("-o", new, "--weights", state)
    assert f"{run.parent}: holds no snapshot to start from" in drn("-o", new, "--weights", run.parent)
    assert not new.exists()
    before = everything(run)
    assert "is no snapshot of this run" in drn("-o", run, "--resume", snapshot(run, 2))
    assert "is no snapshot of this run" in drn("-o", run, "--resume", run / "snapshots" / "small_iter_9.solverstate")
    assert everything(run) == before


def test_the_run_they_were_spoiled_from_holds(run: Path) -> None:
    spec = small_spec(solver={"max_iter": 4})
    result = train(spec, run.parent / "data", run, TrainOptions(order="file", threads=1, resume=True))
    assert result.iterations == 4
