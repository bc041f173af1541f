"""Serve, learn from what was served, publish, and serve that."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from served import Drn, write_version

from generator.caffe.caffemodel import read_caffemodel, write_caffemodel
from generator.caffe.prototxt import learnable, parse_net
from generator.codegen.artefacts import generate
from generator.errors import TrainingError
from generator.loop.carry import carry, keep
from generator.loop.round import prune, publish, reciprocal_rank, run_round
from generator.model.model import Model
from generator.model.query import Query
from generator.onnxgraph.initialise import fill
from generator.onnxgraph.parse import parameter_shapes, parse
from generator.serving.store.open import open_store
from generator.serving.store.sessions import Event
from generator.spec.load import parse_spec

TEXT = """\
name: shop
net: combined
pages: 40
items: 40
top_k: 5
rnn: {window: 3, widths: [8], history: 4}
fnn: {bought: 3, widths: [8]}
solver: {batch_size: 16, base_lr: 0.3, max_iter: 150, clip_gradients: 1}
"""
SPEC = parse_spec(TEXT, "shop.yaml")


def shoppers(store, first: int, count: int, pages: int = 12) -> None:
    """Sessions that buy the item of their last page: what a net can learn."""
    random, events, number = np.random.default_rng(first), [], first * 100
    for session in range(first, first + count):
        moment = session * 1000.0
        for page in random.integers(1, pages, random.integers(1, 5)):
            number += 1
            events.append(Event(f"s{session}", str(number), "view", f"p{page}", moment, number, f"u{session % 9}"))
            moment += 10
        number += 1
        events.append(Event(f"s{session}", str(number), "buy", f"p{page}", moment, number, f"u{session % 9}"))
    store.record(events)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/drn.sqlite"


def test_rounds_learn_publish_and_go_on_from_what_was_published(url, tmp_path):
    store = open_store(url)
    shoppers(store, 0, 400)
    first = run_round(url, SPEC, tmp_path / "live", threads=1)
    assert first.published is None
    assert not first.carried
    assert first.candidate > 0.6  # by chance it would be under 0.2
    assert first.version == tmp_path / "live" / "models" / "shop" / "1" / "model.onnx"
    shoppers(store, 400, 200, pages=14)  # new pages and items: the order of the vocabularies changes
    brief = SPEC.model_copy(update={"solver": SPEC.solver.model_copy(update={"max_iter": 1, "base_lr": 1e-6})})
    second = run_round(url, brief, tmp_path / "live", threads=1)
    assert second.carried
    assert second.candidate == pytest.approx(second.published, abs=0.05)  # one tiny step: what it knew, it knows
    before, after = Model(first.version), Model(tmp_path / "live/round/run/models/shop")
    assert before.items.labels != after.items.labels
    for page in before.pages.labels:
        ranked = [[item for item, _ in model.recommend([Query([(page, 1)])])[0].items[:1]] for model in (before, after)]
        assert ranked[0] == ranked[1]
    store.close()


def test_a_worse_model_is_not_published(url, tmp_path):
    store = open_store(url)
    shoppers(store, 0, 300)
    run_round(url, SPEC, tmp_path / "live", threads=1)
    ruinous = {"max_iter": 40, "base_lr": 5.0, "clip_gradients": None, "weight_decay": 0.05}
    worse = SPEC.model_copy(update={"solver": SPEC.solver.model_copy(update=ruinous)})
    found = run_round(url, worse, tmp_path / "live", threads=1)
    assert found.candidate < found.published
    assert found.version is None
    assert not (tmp_path / "live" / "models" / "shop" / "2").exists()
    assert run_round(url, worse, tmp_path / "live", threads=1).published == found.published
    store.close()


def test_the_command_publishes_into_a_running_service(url, tmp_path):
    write_version(tmp_path / "live" / "models" / "shop", 1, seed=1)
    drn = Drn(tmp_path / "live", url)
    spec = tmp_path / "shop.yaml"
    spec.write_text(TEXT)
    for session in range(120):
        item = session % 11 + 1
        drn.visit(f"s{session}", f"p{item}")
        drn("POST", f"/v1/sessions/s{session}/purchases", {"item": f"p{item}"})
    command = [sys.executable, "-m", "generator", "loop", url, "--spec", str(spec), "-o", str(tmp_path / "live")]
    printed = subprocess.run([*command, "--format", "json"], capture_output=True, text=True, check=True)
    found = json.loads(printed.stdout)
    assert found["events"] == 240
    assert found["candidate"] >= found["published"]
    assert found["version"].endswith("models/shop/2/model.onnx")
    version = 1
    while version == 1:
        _, answer, _ = drn("GET", "/v1/sessions/new/recommendations")
        version = answer["model"]["version"]
    _, answer, _ = drn.visit("new", "p3")
    assert answer["items"][0]["item"] == "p3"
    assert drn.stop() == 0


def test_a_round_that_failed_for_the_machine_is_tried_again(url, tmp_path):
    store = open_store(url)
    shoppers(store, 0, 100)
    store.close()
    (tmp_path / "shop.yaml").write_text(TEXT.replace("max_iter: 150", "max_iter: 5"))
    (tmp_path / "live").mkdir()
    (tmp_path / "live" / "round").write_text("a file where the folder of a round should be")
    command = [sys.executable, "-m", "generator", "loop", url, "--spec", "shop.yaml", "-o", "live", "--every", "0.001"]
    with subprocess.Popen(
        [*command, "--format", "json"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as loop:
        said = loop.stderr.readline()
        assert said.startswith("this round failed: ")
        assert "round" in said
        (tmp_path / "live" / "round").unlink()
        assert json.loads(loop.stdout.readline())["events"] > 100  # the same events, though they are not new
        loop.send_signal(signal.SIGINT)
        _, rest = loop.communicate()
    assert loop.returncode == 128 + signal.SIGINT
    assert "Traceback" not in rest


def test_old_versions_go_once_another_is_published(url, tmp_path):
    store = open_store(url)
    shoppers(store, 0, 100)
    store.close()
    for number in (1, 2, 9, 10):  # by number, not by name
        write_version(tmp_path / "live" / "models" / "shop", number, seed=number)
    (tmp_path / "live" / "models" / "shop" / ".3").mkdir()  # what a kill left of a version that was to go
    found = run_round(url, SPEC, tmp_path / "live", versions=2, threads=1)
    assert found.version is not None
    left = sorted(path.name for path in (tmp_path / "live" / "models" / "shop").iterdir())
    assert left == ["10", "11", "config.pbtxt"]


def test_no_fewer_versions_than_asked_for_are_kept(tmp_path):
    for number in (1, 2, 3):
        write_version(tmp_path / "shop", number, seed=number)
    prune(tmp_path / "shop", 5)
    assert sorted(path.name for path in tmp_path.glob("shop/[0-9]*")) == ["1", "2", "3"]
    prune(tmp_path / "shop", 1)
    assert [path.name for path in tmp_path.glob("shop/[0-9]*")] == ["3"]


def test_rows_follow_their_labels(tmp_path):
    files = generate(SPEC)
    net, deploy = (parse_net(files[name].decode(), name) for name in ("train_val.prototxt", "deploy.prototxt"))
    shapes = parameter_shapes(parse(files["gradient.onnxtxt"].decode(), "gradient.onnxtxt"))
    weights = fill(SPEC, learnable(net), shapes, 5)
    write_caffemodel(tmp_path / "old.caffemodel", net, weights, also=[deploy])
    for name, pages, items in (("old", "abc", "xy"), ("new", "dca", "zyx")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pages.txt").write_text("".join(f"{one}\n" for one in pages))
        (tmp_path / name / "items.txt").write_text("".join(f"{one}\n" for one in items))
    assert carry(tmp_path / "kept", SPEC, tmp_path / "new", tmp_path / "x") is None
    keep(tmp_path / "kept", tmp_path / "old.caffemodel", tmp_path / "old")
    moved = read_caffemodel(carry(tmp_path / "kept", SPEC, tmp_path / "new", tmp_path / "x"), net, shapes)
    np.testing.assert_array_equal(moved["page_embedding"][[0, 2, 3]], weights["page_embedding"][[0, 3, 1]])
    for name in ("bought_embedding", "output_rnn_weight", "output_fnn_weight", "output_bias"):
        np.testing.assert_array_equal(moved[name][[0, 2, 3]], weights[name][[0, 2, 1]])
    np.testing.assert_array_equal(moved["hidden1_recurrent_weight"], weights["hidden1_recurrent_weight"])
    other = parse_spec(TEXT.replace("pages: 40", "pages: 41"), "shop.yaml")
    assert carry(tmp_path / "kept", other, tmp_path / "new", tmp_path / "y") is None


def test_versions_are_numbered_on(tmp_path):
    version = write_version(tmp_path / "from" / "shop", 1, seed=1)
    for number in (1, 2):
        assert publish(version, tmp_path / "to" / "shop") == tmp_path / "to" / "shop" / str(number) / "model.onnx"
    assert (tmp_path / "to" / "shop" / "config.pbtxt").is_file()
    model = Model(tmp_path / "to" / "shop" / "2")
    best = model.recommend([Query([])])[0].items
    assert reciprocal_rank(model, [Query([]), Query([])], [best[1][0], "unknown"]) == 0.25


def test_a_shop_that_sells_what_training_never_saw_is_learnt_and_served(url, tmp_path):
    """Of each session of the newest fifth the page bought is new; with slots it is answered all the same."""
    store, events, number = open_store(url), [], 0
    random = np.random.default_rng(1)
    for session in range(300):
        pages = [f"p{page}" for page in random.integers(1, 12, 2)]
        if session >= 240:
            pages.append(f"new{session}")
        for step, page in enumerate([*pages, pages[-1]]):
            number += 1
            kind, moment = "buy" if step == len(pages) else "view", session * 1000.0 + step
            events.append(Event(f"s{session}", str(number), kind, page, moment, number))
    store.record(events)
    store.close()
    slots = "head: {mix: {pages: 8}, slots: 2}\nnet: rnn"
    spec = parse_spec(TEXT.replace("net: combined", slots).replace("fnn: {bought: 3, widths: [8]}\n", ""), "shop.yaml")
    live = tmp_path / "live"
    made = run_round(url, spec, live, newest=0.2, threads=1)
    assert made.candidate > 0.9
    again = run_round(url, spec, live, newest=0.2, threads=1)
    assert again.carried
    server = Drn(live / "models", f"sqlite:///{tmp_path}/served.sqlite")
    try:
        server.visit("one", "p1")
        _, answer, _ = server.visit("one", "brand new")
        assert answer["items"][0]["item"] == "brand new"
        assert answer["unknown_pages"] == 0
        _, view, _ = server("GET", "/v1/sessions/one")
        assert [one["page"] for one in view["window"]] == ["p1", "brand new"]
        for page in ("second", "third"):
            _, answer, _ = server.visit("one", page)
        assert answer["items"][0]["item"] == "second"  # the third has no slot left: it is passed over
        assert answer["unknown_pages"] == 1
        tensors = {"page": [[0, 1, 41]], "history_page": [[0] * 4], "seen_page": [[0] * 5 + [1, 41, 42]]}
        inputs = [
            {"name": name, "datatype": "INT64", "shape": [1, len(rows[0])], "data": rows}
            for name, rows in tensors.items()
        ]
        inputs += [
            {"name": name, "datatype": "FP32", "shape": [1, size], "data": [0.0] * size}
            for name, size in (("history_weight", 4), ("seen_dwell", 8))
        ]
        _, found, _ = server("POST", "/v2/models/shop/infer", {"inputs": inputs})
        (top,) = (one["data"] for one in found["outputs"] if one["name"] == "top_item")
        assert top[0] == 42  # the newest page, the second slot
    finally:
        server.stop()


def test_an_ensemble_is_refused_before_anything_is_read(url, tmp_path):
    ensemble = SPEC.model_copy(update={"ensemble": 2})
    with pytest.raises(TrainingError, match="ensemble: 2, but the loop"):
        run_round(url, ensemble, tmp_path / "live")
    assert not (tmp_path / "live").exists()
