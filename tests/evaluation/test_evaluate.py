"""One pass over a split, its report and its picture."""

import json
import tracemalloc
from dataclasses import replace

import h5py
import numpy as np
import pytest
from scipy.stats import rankdata
from shoppers import ITEMS, PAGES, TEST, TRAIN, Shopper, number, probabilities, write_model, write_part

from generator.data.sessions.ragged import Sessions
from generator.data.stages.write import write_split
from generator.errors import DataError, DrnError, ModelError
from generator.evaluation.baselines import choose
from generator.evaluation.evaluate import evaluate, row_ranks
from generator.evaluation.metrics import METRICS, values
from generator.evaluation.plot import plot
from generator.evaluation.rows import SplitRows
from generator.model.model import Model
from generator.spec.schema import Data, Rnn, Spec


def expected_ranks(window=3, history=2, bought=2):
    """The rank of each test session's label by the numpy net, session by session."""
    found = []
    for shopper in TEST:
        known = [(number(PAGES, page), seconds) for page, seconds in shopper.views if page in PAGES]
        old = known[: max(0, len(known) - window)]
        aged = [(page, seconds / sum(s for _, s in old[i:])) for i, (page, seconds) in enumerate(old)]
        owned = [number(ITEMS, item) for item in shopper.bought]
        pages = [page for page, _ in known[-window:]] if window else []
        p = probabilities(pages, aged[-history:] if history else [], owned[-bought:] if bought else [])
        label = number(ITEMS, shopper.label)
        found.append(rankdata(-p[1:])[label - 1] if label else np.inf)
    return np.array(found)


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_the_figures_are_those_of_the_net_and_of_the_baselines(folder, run, batch_size):
    report = evaluate({"tiny": Model(run)}, folder, choose("popularity"), batch_size=batch_size, replicates=50)
    assert (report.data, report.split, report.items) == ("shoppers", "test", 4)
    assert (report.rows, report.sessions, report.unknown) == (5, 5, 1)
    assert [(method.name, method.kind) for method in report.methods] == [("tiny", "model"), ("popularity", "baseline")]
    by_hand = {"tiny": expected_ranks(), "popularity": np.array([2.0, 1.0, 3.5, np.inf, 3.5])}
    for method in report.methods:
        means = values(by_hand[method.name]).mean(axis=0)
        assert [method.metrics[metric].value for metric in METRICS] == pytest.approx(means.tolist())
        for interval in method.metrics.values():
            assert 0 <= interval.low <= interval.high <= 1
    (difference,) = report.differences
    assert (difference.method, difference.other) == ("tiny", "popularity")
    one, two = (method.metrics["MRR@20"].value for method in report.methods)
    assert difference.metrics["MRR@20"].value == pytest.approx(one - two)


@pytest.mark.parametrize("threads", [1, 3])
def test_many_rows_in_several_threads_are_ranked_in_their_order(folder, run, threads):
    write_part(folder / "test.h5", TEST * 300)  # more than are scored at a time
    model = Model(run)
    assert row_ranks(model, folder, batch_size=200, threads=threads) == pytest.approx(np.tile(expected_ranks(), 300))
    report = evaluate({"tiny": model}, folder, batch_size=200, threads=threads, replicates=50)
    assert (report.rows, report.sessions, report.unknown) == (1500, 1500, 300)
    assert report == evaluate({"tiny": Model(run)}, folder, batch_size=200, threads=2, replicates=50)


def test_what_fails_in_a_thread_is_an_error(folder, run):
    write_part(folder / "test.h5", [*TEST * 10, Shopper([("a", 1)], "b", ["b"])])
    with h5py.File(folder / "test.h5", "r+") as file:
        file["bought"][50] = 99
    with pytest.raises(ModelError, match="onnxruntime fails on these rows"):
        evaluate({"tiny": Model(run)}, folder, batch_size=10, threads=2, replicates=5)


def peak(folder, run, rows):
    """Bytes at most while a split is ranked; how many batches are held at a moment is the threads' timing."""
    tracemalloc.start()
    report = evaluate({"tiny": Model(run)}, folder, choose("recency"), threads=2, replicates=50)
    assert report.rows == rows
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


def test_memory_does_not_grow_with_the_sessions(folder, run):
    peaks = []
    for times in (2000, 8000):  # the former more than are read at a time
        write_part(folder / "test.h5", TEST * times)
        peaks.append(min(peak(folder, run, 5 * times) for _ in range(3)))
    assert peaks[1] < 1.1 * peaks[0]


@pytest.mark.parametrize("sizes", [(2, 3, 1), (1, 0, 0), (8, 4, 0), (0, 0, 3)])
def test_windows_of_another_size_are_cut_anew(folder, tmp_path, sizes):
    window, history, bought = sizes
    file = write_model(tmp_path / "other" / "model.onnx", window, history, bought)
    report = evaluate({"other": Model(file)}, folder, batch_size=2, replicates=50)
    means = values(expected_ranks(window, history, bought)).mean(axis=0)
    assert [report.methods[0].metrics[metric].value for metric in METRICS] == pytest.approx(means.tolist())


def test_a_label_at_every_state_ranks_at_the_last(folder, run):
    write_part(folder / "test.h5", TEST, every=True)
    report = evaluate({"tiny": Model(run)}, folder, replicates=50)
    assert report.methods[0].metrics["MRR@20"].value == pytest.approx(values(expected_ranks())[:, -2].mean())


def test_several_models_stand_side_by_side(folder, run, tmp_path):
    other = Model(write_model(tmp_path / "other" / "model.onnx", seed=2))
    report = evaluate({"tiny": Model(run), "other": other}, folder, choose("all"), replicates=50)
    names = [method.name for method in report.methods]
    assert names[:2] == ["tiny", "other"]
    assert len(report.differences) == len(names) * (len(names) - 1) / 2


def test_the_report_survives_json(folder, run):
    report = evaluate({"tiny": Model(run)}, folder, choose("default"), replicates=50)
    again = json.loads(json.dumps(report.as_json()))
    assert again["methods"][0]["metrics"]["HR@1"]["value"] == report.methods[0].metrics["HR@1"].value
    assert list(again["methods"][0]["metrics"]) == list(METRICS)


def test_a_valid_split_is_ranked_when_asked_for(folder, run):
    write_part(folder / "valid.h5", TEST[:2])
    assert evaluate({"tiny": Model(run)}, folder, split="valid", replicates=50).rows == 2


def test_steps_are_told(folder):
    seen = []
    evaluate(
        {}, folder, choose("recency"), batch_size=2, replicates=5, step=lambda done, rows: seen.append((done, rows))
    )
    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_what_cannot_be_evaluated(folder, run, tmp_path):
    with pytest.raises(DataError, match="nothing to evaluate"):
        evaluate({}, folder)
    with pytest.raises(DataError, match="two methods are named recency"):
        evaluate({"recency": Model(run)}, folder, choose("recency"))
    with pytest.raises(DataError, match=r"valid\.h5: there is no such file; write it by: drn sessions"):
        evaluate({"tiny": Model(run)}, folder, split="valid")
    with pytest.raises(DataError, match=r"test\.h5"):
        evaluate({"tiny": Model(run)}, tmp_path)
    (run / "models/tiny/1/items.txt").write_text("c\nb\na\nz\n")
    with pytest.raises(DataError, match=r"items\.txt differ, so the model's ids are not the data's"):
        evaluate({"tiny": Model(run)}, folder)


def test_no_rows(folder, run):
    write_part(folder / "test.h5", [])
    with pytest.raises(DataError, match=r"test\.h5: it has no row|test\.h5: "):
        evaluate({"tiny": Model(run)}, folder)


def test_files_that_do_not_hold(folder):
    def check():
        evaluate({}, folder, choose("recency"), replicates=5)

    with h5py.File(folder / "test.h5", "r+") as file:
        file["rows/position"][0] = 6
    with pytest.raises(DataError, match=r"a row of session 0 has seen 6 states, but the session holds 5"):
        check()
    with h5py.File(folder / "test.h5", "r+") as file:
        file["sessions/offset"][1] = 600
    with pytest.raises(DataError, match=r"sessions/offset does not divide the 15 values of sessions/page"):
        check()
    with h5py.File(folder / "test.h5", "r+") as file:
        file["sessions/offset"][1] = 6
        file["sessions/page"][0] = 6
    with pytest.raises(DataError, match=r"sessions/page holds id 6, but its vocabulary has 5 lines"):
        check()
    with h5py.File(folder / "test.h5", "r+") as file:
        del file["sessions"]["dwell"]
    with pytest.raises(DataError, match=r"has no dataset sessions/dwell"):
        check()
    (folder / "test.h5").write_bytes(b"text")
    with pytest.raises(DataError, match=r"cannot read .*test\.h5"):
        check()


def test_next_pages_are_ranked_at_every_position(folder):
    """Sessions a b ? c and d e d e, written by drn's own hand: pages and items are one vocabulary, "?" is unknown."""
    page = np.array([1, 2, 0, 3, 4, 5, 4, 5], np.int32)
    sessions = Sessions(
        offset=np.array([0, 4, 8]),
        page=page,
        dwell=np.ones(8, np.float32),
        bought_offset=np.zeros(3, np.int64),
        bought=np.zeros(0, np.int32),
        start=np.zeros(2),
        user=np.zeros(2, np.int32),
    )
    rnn, data = Rnn(window=2, history=2, widths=[1]), Data(target="next")
    spec = Spec(name="next", net="rnn", pages=5, items=5, top_k=1, rnn=rnn, loss="every", data=data)
    (folder / "items.txt").write_text((folder / "pages.txt").read_text())
    write_split(folder / "train.h5", replace(sessions, training=True), spec)
    write_split(folder / "test.h5", sessions, spec)
    report = evaluate({}, folder, choose("last-view,second-last-view"), batch_size=2, replicates=50)
    assert (report.rows, report.sessions, report.unknown) == (6, 2, 1)
    last, second = (method.metrics["HR@1"].value for method in report.methods)
    # d e -> d and d e d -> e repeat the state before the last; d -> e has none, and e is the most popular label.
    assert second == pytest.approx(3 / 6)
    assert last == 0
    with SplitRows(folder, "test") as part:
        (batch,) = part.batches(10)
        again = replace(batch, blobs={}).inputs({"page": 2, "history_page": 2, "history_weight": 2})
        for name, values in again.items():
            assert np.array_equal(values, batch.blobs[name]), name


def test_a_session_in_two_batches_is_one_session(folder):
    write_part(folder / "train.h5", TRAIN)
    write_part(folder / "test.h5", TEST)
    with h5py.File(folder / "test.h5", "r+") as file:
        file["rows/session"][:] = [0, 1, 1, 1, 4]
        file["rows/position"][:] = [5, 1, 2, 2, 4]
    assert evaluate({}, folder, choose("popularity"), batch_size=2, replicates=5).sessions == 3


def test_the_plot_is_a_png_of_some_size(folder, run, tmp_path):
    report = evaluate({"tiny": Model(run)}, folder, choose("all"), replicates=50)
    plot(report, tmp_path / "new" / "hit.png")
    content = (tmp_path / "new" / "hit.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert int.from_bytes(content[16:20], "big") >= 1000
    (tmp_path / "file").write_text("")
    with pytest.raises(DrnError, match="cannot be written"):
        plot(report, tmp_path / "file" / "hit.png")
