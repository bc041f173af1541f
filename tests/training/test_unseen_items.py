"""A run with slots: hidden visits train their row, and what training never saw is ranked and recommended."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from generator.cli import drn
from generator.data.build import Options, build
from generator.data.sessions.splits import Division
from generator.errors import DataError
from generator.evaluation.baselines import BASELINES, choose
from generator.evaluation.evaluate import evaluate, row_ranks
from generator.evaluation.rows import SplitRows
from generator.model.model import Model
from generator.model.query import Query
from generator.spec.schema import Spec
from generator.training.engine.batches import Batches, Hiding
from generator.training.run.train import TrainOptions, train

SLOTS = 4


def spec_of(tied: bool = False, slots: int = SLOTS, **changes) -> Spec:
    fields = {
        "name": "slots",
        "net": "rnn",
        "pages": 30,  # the vocabulary has 20: ids of slots come after room for more
        "items": 30,
        "top_k": 5,
        "rnn": {"window": 2, "widths": [6], "history": 3},
        "head": {"tied": tied, "mix": {"pages": 8, "newest": 1, "followers": 4}, "slots": slots},
        "solver": {"batch_size": 16, "max_iter": 40, "snapshot": 20, "display": 20, "test_interval": 40},
        **changes,
    }
    return Spec.model_validate(fields)


@pytest.fixture(scope="module")
def log() -> pl.DataFrame:
    """Sessions that buy the page they viewed last, of 20 pages; the last fifth views new ones beside them."""
    rng, rows = np.random.default_rng(4), []
    for session in range(300):
        old, new = [f"p{page}" for page in rng.integers(0, 20, 3)], [f"new{session}-{page}" for page in range(2)]
        pages = [old[0], new[0], old[1], new[1], old[2], new[0]] if session >= 240 else old
        rows += [
            {"session": f"s{session}", "time": 1000 * session + step, "page": page, "event": kind}
            for step, (page, kind) in enumerate([*((page, "view") for page in pages), (pages[-1], "buy")])
        ]
    return pl.DataFrame(rows)


def folder_of(log: pl.DataFrame, path: Path, spec: Spec) -> Path:
    build(log, path, spec, Options(division=Division(share=0.2)))
    return path


@pytest.fixture(scope="module")
def data(log, tmp_path_factory) -> Path:
    return folder_of(log, tmp_path_factory.mktemp("slots") / "data", spec_of())


@pytest.fixture(scope="module", params=[False, True], ids=["untied", "tied"])
def run(request, data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    train(spec_of(request.param), data, folder, TrainOptions(threads=1))
    return folder


def test_hidden_visits_are_a_share_of_all_and_the_same_whenever_they_are_drawn():
    page = np.tile(np.arange(5, dtype=np.int32), (4000, 1))
    batches = Batches({"page": page, "label": page[:, 0]}, 1000, tables=["page_embedding"], hiding=Hiding(9, 1, 0.25))
    first, later = batches.some(0, 2)
    (again,) = batches.some(1, 1)
    np.testing.assert_array_equal(later.blobs["page"], again.blobs["page"])
    assert not np.array_equal(first.blobs["page"], later.blobs["page"])
    hidden = first.blobs["page"] == 9
    assert not hidden[:, 0].any()  # where there is no visit, there is none to hide
    assert hidden[:, 1:].mean() == pytest.approx(0.25, abs=0.02)
    assert first.ids["page_embedding"].tolist() == [0, 1, 2, 3, 4, 9]
    assert not (batches.once(4)[0].blobs["page"] == 9).any()


def test_a_run_with_slots_resumes_to_the_same_bits(tmp_path, data):
    spec = spec_of(tied=True)
    train(spec, data, tmp_path / "whole", TrainOptions(threads=1))
    train(spec, data, tmp_path / "parts", TrainOptions(threads=1, until=23))
    train(spec, data, tmp_path / "parts", TrainOptions(threads=1, resume=True))
    last = "snapshots/slots_iter_40.caffemodel"
    assert (tmp_path / "whole" / last).read_bytes() == (tmp_path / "parts" / last).read_bytes()


def test_what_training_never_saw_is_found_by_the_net_and_the_rules(data, run):
    report = evaluate({"net": Model(run)}, data, choose("popularity,last-view,recency,frequency"), replicates=10)
    assert (report.rows, report.unknown) == (60, 0)
    assert report["last-view"]["HR@1"].value == 1
    assert report["net"]["HR@1"].value == 1
    assert report["popularity"]["HR@5"].value == 0
    assert all(0 <= method.recommended["coverage@20"] <= 1 for method in report.methods)


def test_every_baseline_ranks_as_if_all_pages_had_been_known(log, data, tmp_path):
    """With all labels of the log known the ids differ, and the ranks of what was viewed do not."""
    known = tmp_path / "known"
    spec = spec_of(slots=0, pages=200, items=200)
    build(log, known, spec, Options(division=Division(share=0.2), vocabulary="all"))
    for name in ("last-view", "recency", "frequency", "dwell-frequency"):
        found, wanted = (row_ranks(BASELINES[name](), folder) for folder in (data, known))
        # What ranks by popularity alone has more to tie with where all are known.
        near = wanted <= 5
        np.testing.assert_array_equal(found[near], wanted[near])
        assert near.any()


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_every_baseline_takes_a_folder_with_slots(name, data):
    pytest.importorskip("implicit")
    assert np.isfinite(row_ranks(BASELINES[name](), data)).all()


def test_windows_of_another_size_are_cut_with_the_ids_of_the_net(data, run):
    model = Model(run)
    with SplitRows(data, "test") as rows:
        (batch,) = rows.batches(100)
        sizes = dict(model.sizes)
        again = batch.inputs(sizes | {"seen_page": 9, "seen_dwell": 9})
        for name in sizes:
            np.testing.assert_array_equal(again[name][:, -batch.blobs[name].shape[1] :], batch.blobs[name])
        assert batch.seen.page.max() == 22  # without a gap after the 20 of the vocabulary


def test_the_answer_names_the_querys_own_page(run):
    model = Model(run)
    pages = [("p1", 3.0), ("never seen", 9.0), ("p2", 1.0), ("nor this", 1.0), ("never seen", 1.0)]
    known, unseen = model.recommend([Query(pages[:1]), Query(pages)])
    assert unseen.items[0][0] == "never seen"
    assert unseen.unknown_pages == 0
    assert all(label.startswith("p") for label, _ in known.items)
    (every,) = model.recommend([Query(pages)], top=20)  # beyond the graph's own TopK
    assert [label for label, _ in every.items[:5]] == [label for label, _ in unseen.items]
    assert {"never seen", "nor this"} <= {label for label, _ in every.items}
    many = [(f"new{page}", 1.0) for page in range(SLOTS + 2)]
    (answer,) = model.recommend([Query(many)])
    assert answer.unknown_pages == 2
    assert answer.items[0][0] == f"new{SLOTS - 1}"  # those after the last slot are left out


def test_an_output_in_8_bits_answers_it_too(run):
    whole, narrow = Model(run), Model(run, int8=True)
    asked = [Query([(page, 2.0), ("never seen", 3.0)]) for page in ("p1", "p7", "other")]
    for answer, wanted in zip(narrow.recommend(asked), whole.recommend(asked), strict=True):
        assert answer.items[0][0] == "never seen"
        assert dict(answer.items)["never seen"] == pytest.approx(dict(wanted.items)["never seen"], abs=1e-3)


def test_a_query_is_the_row_that_the_data_hold(log, data, run):
    """As served and as evaluated: the same blobs, so the same answer."""
    model = Model(run)
    sessions = log.filter(pl.col("time") >= 240_000, pl.col("event") == "view").partition_by("session")
    asked = [Query([(page, 1.0) for page in session["page"]]) for session in sessions]
    first = [answer.items[0][0] for answer in model.recommend(asked)]
    assert first == [session["page"][-1] for session in sessions]
    assert (row_ranks(model, data) == 1).all()


def test_recommend_names_it_on_the_command_line(run):
    found = CliRunner().invoke(drn, ["recommend", str(run), "--session", "p1:3,brand-new:9", "--format", "json"])
    assert json.loads(found.stdout)["items"][0]["item"] == "brand-new"


def test_a_model_and_data_of_other_slots_are_told_apart(log, run, tmp_path):
    without = folder_of(log, tmp_path / "data", spec_of(slots=0))
    with pytest.raises(DataError, match=rf"has {SLOTS} slots and .*test.h5 0"):
        evaluate({"net": Model(run)}, without)
