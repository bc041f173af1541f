"""How long a net is trained: epochs, patience, and what is said of it; and rows cut anew for other windows."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from generator.caffe.prototxt import parse_solver
from generator.codegen.artefacts import generate
from generator.data.sessions.ragged import Sessions
from generator.data.stages.write import write_split
from generator.errors import DataError, SpecError, TrainingError
from generator.spec import load_spec, parse_spec
from generator.spec.dump import dump_spec
from generator.spec.schema import Spec
from generator.training.run.train import TrainOptions, train

Make = Callable[..., Spec]
ONE = TrainOptions(threads=1)
PAGES, ITEMS, HISTORY, BOUGHT = 12, 10, 2, 2  # as in small_spec


def without_max_iter(spec: Spec, epochs: float) -> Spec:
    return spec.model_copy(update={"solver": spec.solver.model_copy(update={"max_iter": 1000, "epochs": epochs})})


def iterations(run: Path) -> int:
    text = (run / "solver.prototxt").read_text()
    return int(parse_solver(text, "solver.prototxt").max_iter)


@pytest.mark.parametrize(("epochs", "expected"), [(1, 6), (2, 12), (0.5, 3), (0.01, 1), (2.4, 15)])
def test_epochs_are_iterations_once_the_rows_are_known(
    epochs: float, expected: int, tmp_path: Path, data: Path, make_spec: Make
) -> None:
    spec = without_max_iter(make_spec(), epochs)  # 100 rows, 16 a batch
    assert train(spec, data, tmp_path / "run", ONE).iterations == expected
    assert iterations(tmp_path / "run") == expected
    assert load_spec(tmp_path / "run/spec.yaml") == spec.in_iterations(100)
    again = train(spec, data, tmp_path / "run", TrainOptions(threads=1, resume=True))
    assert again.iterations == expected


def test_several_batches_an_update_make_fewer_of_them(tmp_path: Path, data: Path, make_spec: Make) -> None:
    spec = without_max_iter(make_spec(solver={"iter_size": 2}), 4)
    assert train(spec, data, tmp_path / "run", ONE).iterations == 12  # 400 rows, 32 an update


def test_what_is_set_last_says_how_long() -> None:
    text = "name: a\nnet: rnn\npages: 9\nitems: 9\nrnn: {window: 2, widths: [4]}\nsolver: {max_iter: 70}\n"
    assert parse_spec(text, "a.yaml", ["solver.epochs=3"]).solver.epochs == 3
    solver = parse_spec(text, "a.yaml", ["solver.epochs=3", "solver.max_iter=90"]).solver
    assert (solver.epochs, solver.max_iter) == (None, 90)


def test_gen_model_knows_no_rows(make_spec: Make) -> None:
    spec = without_max_iter(make_spec(), 3)
    with pytest.raises(SpecError, match=r"solver\.epochs: 3 .* give max_iter"):
        generate(spec)
    assert set(generate(spec, ["onnx", "binary"])) >= {"model.onnx"}
    assert "epochs: 3" in dump_spec(spec)


def test_a_training_of_less_than_an_epoch_says_so(tmp_path: Path, data: Path, make_spec: Make) -> None:
    for max_iter, expected in ((3, ["max_iter 3 is 0.48 of one epoch, 16 of 100 training rows an iteration"]), (7, [])):
        said: list[str] = []
        spec = make_spec(solver={"max_iter": max_iter})
        train(spec, data, tmp_path / str(max_iter), ONE, note=said.append)
        assert [line.split(";")[0] for line in said] == expected


@pytest.fixture
def validated(data: Path) -> Path:
    """The data with a validation split of other labels, which a net at a high rate soon stops to gain on."""
    with h5py.File(data / "test.h5") as test, h5py.File(data / "valid.h5", "w") as valid:
        test.copy(test["/"], valid, "all")
        for name in test:
            valid.move(f"all/{name}", name)
    return data


STOPPING: dict[str, Any] = {"max_iter": 120, "base_lr": 0.5, "test_interval": 4, "snapshot": 10, "display": 50}


def losses(run: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {line["iteration"]: line["valid_loss"] for line in lines if "valid_loss" in line}


def stop_by_hand(of: dict[int, float], patience: int) -> tuple[int, int]:
    """Return the iteration of the best pass and of the last, by the rule in words."""
    best, since = 0, 0
    for at, loss in of.items():
        if best == 0 or loss < of[best]:
            best, since = at, 0
        else:
            since += 1
        if since == patience:
            return best, at
    return best, max(of)


@pytest.mark.parametrize("patience", [1, 2, 5])
def test_patience_ends_where_the_rule_says_and_exports_the_best(
    patience: int, tmp_path: Path, validated: Path, make_spec: Make
) -> None:
    spec = make_spec(solver=STOPPING)
    every = make_spec(solver={**STOPPING, "snapshot": 4})
    train(every, validated, tmp_path / "whole", ONE)
    best, last = stop_by_hand(losses(tmp_path / "whole"), patience)
    assert best < last < 120  # else nothing is shown
    said: list[str] = []
    options = TrainOptions(threads=1, patience=patience)
    result = train(spec, validated, tmp_path / "run", options, note=said.append)
    assert result.iterations == last
    assert f"iteration {best}:" in said[-1]
    model = json.loads((tmp_path / "run/models/small/1/manifest.json").read_text())
    assert model["iteration"] == best
    for run in ("run", "whole"):  # its snapshot is there, the same bits as in the run to the end
        assert (tmp_path / run / f"snapshots/small_iter_{best}.caffemodel").is_file()
    whole, run = (tmp_path / name / f"snapshots/small_iter_{best}.caffemodel" for name in ("whole", "run"))
    assert whole.read_bytes() == run.read_bytes()
    again = train(spec, validated, tmp_path / "run", TrainOptions(threads=1, patience=patience, resume=True))
    assert again.iterations == last
    assert again.model == result.model  # nothing new


@pytest.mark.parametrize("until", [3, 4, 7, 8, 9])
def test_a_run_that_was_stopped_stops_early_where_it_would_have(
    until: int, tmp_path: Path, validated: Path, make_spec: Make
) -> None:
    spec = make_spec(solver=STOPPING)
    train(spec, validated, tmp_path / "whole", TrainOptions(threads=1, patience=2))
    train(spec, validated, tmp_path / "run", TrainOptions(threads=1, patience=2, until=until))
    # As a kill may leave it: a test pass is kept, the snapshot after it is not.
    kept = tmp_path / "run/early_stopping.json"
    if kept.exists():
        kept.write_text(json.dumps({**json.loads(kept.read_text()), "400": 0.0}))
    train(spec, validated, tmp_path / "run", TrainOptions(threads=1, patience=2, resume=True))
    assert kept.read_text() == (tmp_path / "whole/early_stopping.json").read_text()
    models = [sorted((tmp_path / name / "models/small").glob("*/model.onnx"))[-1] for name in ("whole", "run")]
    assert models[0].read_bytes() == models[1].read_bytes()


def test_what_was_trained_when_the_seconds_are_over_is_exported(tmp_path: Path, data: Path, make_spec: Make) -> None:
    nothing = train(make_spec(), data, tmp_path / "nothing", TrainOptions(threads=1, seconds=0.0))
    assert (nothing.iterations, nothing.signal) == (0, 0)
    assert nothing.model is not None
    run = tmp_path / "run"
    half = train(make_spec(), data, run, TrainOptions(threads=1, until=10))
    # The ten iterations took longer than that, and count.
    late = train(make_spec(), data, run, TrainOptions(threads=1, resume=True, seconds=half.seconds / 2))
    assert (late.iterations, late.model) == (10, half.model)
    whole = train(make_spec(), data, run, TrainOptions(threads=1, resume=True, seconds=3600.0))
    assert whole.iterations == make_spec().solver.max_iter


def test_patience_wants_a_validation_split_and_a_pass(tmp_path: Path, data: Path, make_spec: Make) -> None:
    with pytest.raises(TrainingError, match=r"valid\.h5: there is none"):
        train(make_spec(), data, tmp_path / "run", TrainOptions(patience=3))
    assert not (tmp_path / "run").exists()
    with pytest.raises(TrainingError, match="at least 1"):
        TrainOptions(patience=0)


def sessions(count: int, seed: int, *, training: bool) -> Sessions:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 7, count)
    offset = np.concatenate([[0], np.cumsum(lengths)])
    page = rng.integers(1, PAGES + 1, lengths.sum()).astype(np.int32)
    return Sessions(
        offset=offset,
        page=page,
        dwell=rng.uniform(1, 9, len(page)).astype(np.float32),
        bought_offset=np.arange(count + 1) * 3,
        bought=rng.integers(1, ITEMS + 1, 3 * count).astype(np.int32),
        start=np.arange(count, dtype=np.float64),
        user=np.full(count, -1, np.int32),
        label=(page[offset[1:] - 1] % ITEMS + 1).astype(np.int32),
        training=training,
    )


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Callable[[str, Spec], Path]]:
    """The factory of data folders of the same sessions, cut for a spec."""

    def make(name: str, spec: Spec) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        write_split(folder / "train.h5", sessions(90, 1, training=True), spec)
        write_split(folder / "valid.h5", sessions(30, 2, training=False), spec)
        for kind, number in (("page", PAGES), ("item", ITEMS)):
            (folder / f"{kind}s.txt").write_text("".join(f"{kind}-{n}\n" for n in range(1, number + 1)))
        return folder

    return make


@pytest.mark.parametrize(
    "other",
    [
        {"rnn": {"window": 5, "widths": [8], "history": HISTORY}},
        {"rnn": {"window": 1, "widths": [8], "history": 4}},
        {"fnn": {"bought": 3, "widths": [5]}},
        {"loss": "every"},
    ],
)
def test_rows_are_cut_anew_for_another_window(
    other: dict[str, Any], tmp_path: Path, folders: Callable[[str, Spec], Path], make_spec: Make
) -> None:
    spec = make_spec(**other)
    mine, others = folders("mine", spec), folders("others", make_spec())
    said: list[str] = []
    train(spec, mine, tmp_path / "run", ONE, note=said.append)
    assert said == []
    train(spec, others, tmp_path / "anew", ONE, note=said.append)
    assert said == [f"{others}: was cut for other windows than the spec's; its rows are made anew from its sessions"]
    models = [(tmp_path / name / "snapshots/small_iter_30.caffemodel").read_bytes() for name in ("run", "anew")]
    assert models[0] == models[1]
    # What real Caffe reads is cut anew too.
    listed = tmp_path / "anew" / (tmp_path / "anew/train.txt").read_text().strip()
    with h5py.File(listed) as found, h5py.File(mine / "train.h5") as wanted:
        for name in ("page", "bought", "label", "history_weight"):
            np.testing.assert_array_equal(found[name][()], wanted[name][()])
    train(spec, others, tmp_path / "anew", TrainOptions(threads=1, resume=True))


def test_more_purchases_than_the_sessions_hold_are_refused(
    tmp_path: Path, folders: Callable[[str, Spec], Path], make_spec: Make
) -> None:
    folder = folders("others", make_spec(fnn={"bought": BOUGHT, "widths": [5]}))
    with pytest.raises(DataError, match=r"the spec wants fnn\.bought: 300"):
        train(make_spec(fnn={"bought": 300, "widths": [5]}), folder, tmp_path / "run", ONE)
    assert not (tmp_path / "run").exists()
