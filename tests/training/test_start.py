"""Weights given to start from: all or some of a net's, of a file or a run. Real Caffe's side: tests/oracles."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from generator.caffe.caffemodel import read_caffemodel, write_caffemodel
from generator.caffe.prototxt import parse_net, read_net
from generator.data.build import Options, build
from generator.data.sessions.splits import Division
from generator.errors import ModelError, TrainingError
from generator.onnxgraph.parse import parameter_shapes, parse
from generator.shop.simulator import Shop, simulate
from generator.spec import dump_spec, load_spec
from generator.spec.schema import Spec
from generator.training.run.rows import load_split
from generator.training.run.train import TrainOptions, train

Make = Callable[..., Spec]


def weights_at(run: Path, iteration: int) -> dict[str, np.ndarray[Any, Any]]:
    shapes = parameter_shapes(parse((run / "gradient.onnxtxt").read_text(), "gradient.onnxtxt"))
    path = run / "snapshots" / f"{load_spec(run / 'spec.yaml').name}_iter_{iteration}.caffemodel"
    return read_caffemodel(path, read_net(run / "train_val.prototxt"), shapes)


def test_a_run_starts_from_the_newest_snapshot_of_another(tmp_path: Path, data: Path, make_spec: Make) -> None:
    train(make_spec(), data, tmp_path / "first", TrainOptions(threads=1))
    # A pair that a kill left half written is none.
    (tmp_path / "first/snapshots/small_iter_30.caffemodel").unlink()
    train(
        make_spec(solver={"max_iter": 1}),
        data,
        tmp_path / "second",
        TrainOptions(threads=1, weights=tmp_path / "first"),
    )
    started, newest = (weights_at(tmp_path / run, number) for run, number in (("second", 0), ("first", 20)))
    assert started.keys() == newest.keys()
    for name, values in newest.items():
        np.testing.assert_array_equal(started[name], values, err_msg=name)


def test_the_bias_starts_at_the_logarithm_of_popularity(tmp_path: Path, data: Path, make_spec: Make) -> None:
    label = load_split(data / "train.h5", make_spec())["label"]
    often = np.array([np.count_nonzero(label == item) if item else 0 for item in range(11)])
    assert often.sum() == 100
    for name, changes in (("known", {"init": {"popularity": True}}), ("afresh", {"init": {}})):
        train(make_spec(**changes), data, tmp_path / name, TrainOptions(threads=1, until=0))
    known, afresh = (weights_at(tmp_path / name, 0) for name in ("known", "afresh"))
    odds = np.exp(known["output_bias"])
    np.testing.assert_allclose(odds / odds.sum(), (often + 1) / (often + 1).sum(), rtol=1e-5)
    for name, values in afresh.items():
        if name != "output_bias":
            np.testing.assert_array_equal(known[name], values)


def test_a_folder_without_a_snapshot_is_refused(tmp_path: Path, data: Path, make_spec: Make) -> None:
    with pytest.raises(TrainingError, match=r"data: holds no snapshot to start from"):
        train(make_spec(), data, tmp_path / "run", TrainOptions(threads=1, weights=data))
    assert not (tmp_path / "run").exists()


def test_what_the_file_lacks_starts_as_without_it(tmp_path: Path, data: Path, make_spec: Make) -> None:
    """The combined net takes what the net of pages alone has, wherever its file stores that."""
    rnn, combined = (
        make_spec(net="rnn", head={"tied": True, "projection": True}, items=12),
        make_spec(head={"tied": True, "projection": True}, items=12),
    )
    (data / "items.txt").write_bytes((data / "pages.txt").read_bytes())
    train(rnn, data, tmp_path / "rnn", TrainOptions(threads=1))
    said: list[str] = []
    train(combined, data, tmp_path / "afresh", TrainOptions(threads=1, until=0))
    train(
        combined, data, tmp_path / "run", TrainOptions(threads=1, until=0, weights=tmp_path / "rnn"), note=said.append
    )
    given, afresh, started = (
        weights_at(tmp_path / "rnn", 30),
        *(weights_at(tmp_path / run, 0) for run in ("afresh", "run")),
    )
    assert {"page_embedding", "output_bias"} <= given.keys() < started.keys()
    for name, values in started.items():
        np.testing.assert_array_equal(values, given.get(name, afresh[name]), err_msg=name)
    anew = [name for name in started if name not in given]
    taken = [name for name in started if name in given]
    path = tmp_path / "rnn/snapshots/small_iter_30.caffemodel"
    assert said == [f"{path}: taken {', '.join(taken)}; starting anew: {', '.join(anew)}"]


def test_weights_that_do_not_fit_are_refused(tmp_path: Path, data: Path, make_spec: Make) -> None:
    train(make_spec(), data, tmp_path / "first", TrainOptions(threads=1))
    narrow = make_spec(rnn={"window": 3, "widths": [7, 6], "history": 2})
    with pytest.raises(ModelError, match=r"layer \w+, blob 0 \(page_embedding\) has shape 13x8, not 13x7"):
        train(narrow, data, tmp_path / "run", TrainOptions(threads=1, weights=tmp_path / "first"))
    net = parse_net(
        'layer { name: "x" type: "InnerProduct" bottom: "x" inner_product_param { bias_term: false } }', "x"
    )
    write_caffemodel(tmp_path / "other.caffemodel", net, {"x[0]": np.ones((1, 1), np.float32)})
    with pytest.raises(ModelError, match=r"other.caffemodel: holds no parameter of small, none of page_embedding, "):
        train(make_spec(), data, tmp_path / "run", TrainOptions(threads=1, weights=tmp_path / "other.caffemodel"))
    assert not (tmp_path / "run").exists()


def test_a_resumed_run_still_wants_all_its_weights(tmp_path: Path, data: Path, make_spec: Make) -> None:
    rnn = make_spec(net="rnn")
    train(make_spec(), data, tmp_path / "run", TrainOptions(threads=1))
    train(rnn, data, tmp_path / "rnn", TrainOptions(threads=1))
    target = tmp_path / "run/snapshots/small_iter_30.caffemodel"
    target.write_bytes((tmp_path / "rnn/snapshots/small_iter_30.caffemodel").read_bytes())
    with pytest.raises(ModelError, match=r"holds no \w+; it would be in layer"):
        train(make_spec(solver={"max_iter": 40}), data, tmp_path / "run", TrainOptions(threads=1, resume=True))


def test_pretrained_on_the_next_page_and_tuned_on_the_purchase_with_the_same_ids(tmp_path: Path) -> None:
    simulate(tmp_path / "log", Shop(sessions=2000, categories=4, items=10, seed=3))
    fields = {
        "name": "shop",
        "net": "rnn",
        "pages": 60,
        "items": 60,
        "rnn": {"window": 3, "widths": [8]},
        "head": {"tied": True},
        "solver": {"type": "Adam", "base_lr": 0.01, "batch_size": 32, "max_iter": 200, "display": 50, "snapshot": 200},
    }
    ahead = Spec.model_validate({**fields, "data": {"target": "next"}})
    combined = {**fields, "net": "combined", "fnn": {"bought": 4, "widths": [8]}}
    tuned = Spec.model_validate({**combined, "data": {"target": "purchase"}})
    log, division = [tmp_path / "log/events.parquet"], Division(share=0.2)
    build(log, tmp_path / "next", ahead, Options(division=division, vocabulary="all"))
    build(log, tmp_path / "buy", tuned, Options(division=division, vocabulary=tmp_path / "next"))
    build(log, tmp_path / "other", tuned, Options(division=division, vocabulary="all"))
    assert (tmp_path / "other/pages.txt").read_bytes() != (tmp_path / "next/pages.txt").read_bytes()
    train(ahead, tmp_path / "next", tmp_path / "pre", TrainOptions(threads=1))

    def said(data: str) -> str:
        path = tmp_path / "tuned.yaml"
        path.write_text(dump_spec(tuned))
        command = [sys.executable, "-m", "generator", "train", str(path), "--data", str(tmp_path / data)]
        command += ["-o", str(tmp_path / f"run-{data}"), "--weights", str(tmp_path / "pre"), "--threads", "1"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stderr

    first, *rest = said("buy").splitlines()
    assert "shop_iter_200.caffemodel: taken page_embedding, " in first
    assert "; starting anew: bought_embedding, " in first
    assert not rest
    pretrained = weights_at(tmp_path / "pre", 200)["page_embedding"]
    np.testing.assert_array_equal(weights_at(tmp_path / "run-buy", 0)["page_embedding"], pretrained)
    assert f"--vocabulary {tmp_path / 'next'}" in said("other")
