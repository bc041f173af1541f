"""A run with a mixture: fitted to sessions the net has not seen, taken over, resumed, exported and answered by."""

from pathlib import Path

import numpy as np
import pytest

from generator.data.build import Options, build
from generator.data.sessions.splits import Division
from generator.data.store.split import read_sessions
from generator.errors import ModelError, TrainingError
from generator.evaluation.evaluate import evaluate, row_ranks
from generator.mixture.mixture import Mixture
from generator.model.model import Model
from generator.model.query import Query
from generator.shop.simulator import Shop, simulate
from generator.spec.schema import Spec
from generator.training.run.rows import load_split, load_training, newest_sessions
from generator.training.run.train import TrainOptions, train

ONE = TrainOptions(threads=1)


def spec_of(**changes) -> Spec:
    fields = {
        "name": "mixed",
        "net": "combined",
        "pages": 60,
        "items": 60,
        "top_k": 5,
        "rnn": {"window": 2, "widths": [6]},
        "fnn": {"bought": 2, "widths": [4]},
        "head": {"mix": {"pages": 12, "newest": 2, "followers": 8}},
        "solver": {
            "batch_size": 32,
            "base_lr": 0.1,
            "max_iter": 60,
            "snapshot": 20,
            "display": 20,
            "test_interval": 60,
        },
        **changes,
    }
    return Spec.model_validate(fields)


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("log")
    simulate(folder, Shop(sessions=3000, categories=4, items=10, seed=3))
    return folder / "events.parquet"


@pytest.fixture(scope="module")
def held_out(log, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("held-out")
    build([log], folder, spec_of(), Options(division=Division(share=0.2, valid_share=0.2)), "mixed")
    return folder


@pytest.fixture(scope="module")
def whole(log, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    build([log], folder, spec_of(), Options(division=Division(share=0.2)), "mixed")
    return folder


def test_it_is_fitted_to_what_is_held_out_and_ahead_of_the_net_alone(tmp_path, held_out):
    mixed = train(spec_of(), held_out, tmp_path / "mixed", ONE)
    alone = train(spec_of(head={}), held_out, tmp_path / "alone", ONE)
    report = evaluate({"mixed": Model(mixed.model), "alone": Model(alone.model)}, held_out, split="valid", replicates=0)
    found = {method.name: method.metrics["MRR@20"].value for method in report.methods}
    assert found["mixed"] > found["alone"] + 0.1  # the shop sells what was looked at
    fitted = Mixture.read(tmp_path / "mixed/mixture.h5").fitted
    np.testing.assert_allclose(fitted.weight.sum(axis=1), 1)
    # Nothing of it is trained: the net is the same.
    assert (tmp_path / "mixed/snapshots/mixed_iter_60.caffemodel").read_bytes() == (
        tmp_path / "alone/snapshots/mixed_iter_60.caffemodel"
    ).read_bytes()


def test_a_resumed_run_has_the_same_mixture_to_the_bit(tmp_path, held_out):
    train(spec_of(), held_out, tmp_path / "unbroken", ONE)
    train(spec_of(), held_out, tmp_path / "broken", TrainOptions(threads=1, until=30))
    train(spec_of(), held_out, tmp_path / "broken", TrainOptions(threads=1, resume=True))
    models = [sorted((tmp_path / run).glob("models/mixed/*/model.onnx"))[-1] for run in ("unbroken", "broken")]
    assert models[0].read_bytes() == models[1].read_bytes()
    assert (tmp_path / "unbroken/mixture.h5").read_bytes() == (tmp_path / "broken/mixture.h5").read_bytes()


def test_without_a_held_out_part_the_net_leaves_the_newest_sessions_to_it(tmp_path, whole):
    sessions = read_sessions(whole / "train.h5")
    newest = newest_sessions(sessions.start)
    assert newest.sum() == round(0.3 * len(sessions)) < 500
    assert sessions.start[newest].min() >= sessions.start[~newest].max()
    every, kept = load_split(whole / "train.h5", spec_of()), load_training(whole, spec_of(), fitted=False)[0]
    for name, values in every.items():
        np.testing.assert_array_equal(kept[name], values[~newest])
    assert len(load_training(whole, spec_of(), fitted=True)[0]["label"]) == len(every["label"])
    notes: list[str] = []
    result = train(spec_of(), whole, tmp_path / "run", ONE, note=notes.append)
    assert any("the net does not see them" in note for note in notes)
    # What it counts is the whole of training all the same.
    counted = Mixture.read(tmp_path / "run/mixture.h5").tables
    taken = train(spec_of(), whole, tmp_path / "taken", TrainOptions(threads=1, mix_from=tmp_path / "run"))
    again = Mixture.read(tmp_path / "taken/mixture.h5")
    np.testing.assert_array_equal(counted.share, again.tables.share)
    np.testing.assert_array_equal(again.fitted.weight, Mixture.read(tmp_path / "run/mixture.h5").fitted.weight)
    assert result.model.read_bytes() != taken.model.read_bytes()  # the net of all sessions is another


def test_a_query_is_answered_as_its_row_is_ranked(tmp_path, held_out):
    model = Model(train(spec_of(), held_out, tmp_path / "run", ONE).model)
    assert model.sizes["seen_page"] == 12
    sessions = read_sessions(held_out / "valid.h5")
    pages, items = model.pages.labels, model.items.labels
    queries = []
    for session in range(20):
        views, bought = sessions.slice(session, session + 1).page, sessions.slice(session, session + 1).bought
        dwell = sessions.slice(session, session + 1).dwell.tolist()
        visits = [(pages[page - 1], seconds) for page, seconds in zip(views, dwell, strict=True)]
        queries.append(Query(visits, [items[item - 1] for item in bought]))
    answers = model.recommend(queries, top=len(items))
    ranks = row_ranks(model, held_out, split="valid")[:20]
    for answer, label, rank in zip(answers, sessions.label.tolist(), ranks.tolist(), strict=False):
        place = [item for item, _ in answer.items].index(items[label - 1]) + 1
        assert rank == pytest.approx(place, abs=0.5)
        assert sum(probability for _, probability in answer.items) == pytest.approx(1, abs=1e-4)


def test_a_mixture_that_does_not_fit_is_refused(tmp_path, held_out):
    train(spec_of(), held_out, tmp_path / "run", ONE)
    other = spec_of(head={"mix": {"pages": 12, "newest": 3}})
    with pytest.raises(TrainingError, match=r"2 newest pages.*head\.mix\.newest: 3"):
        train(other, held_out, tmp_path / "other", TrainOptions(threads=1, mix_from=tmp_path / "run"))
    with pytest.raises(TrainingError, match=r"mixed has none; set head\.mix"):
        train(spec_of(head={}), held_out, tmp_path / "other", TrainOptions(threads=1, mix_from=tmp_path / "run"))
    with pytest.raises(ModelError, match="holds no mixture"):
        train(spec_of(), held_out, tmp_path / "other", TrainOptions(threads=1, mix_from=held_out))
    assert not (tmp_path / "other").exists()
