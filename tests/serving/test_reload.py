"""New versions are picked up without a failed request, broken ones refused, others pinned and compared."""

import itertools
import shutil
import sys
import threading

import pytest
from served import Drn, wait_for, write_version

from generator.errors import ModelError
from generator.loop.round import publish
from generator.model.find import version_number
from generator.model.model import Model
from generator.model.query import Query
from generator.serving.models.choice import VersionChoice
from generator.serving.models.repository import Repository


@pytest.fixture
def shop(tmp_path):
    write_version(tmp_path / "models" / "shop", 1, seed=1)
    return tmp_path / "models" / "shop"


def test_versions_come_and_go_without_a_failed_request(shop, tmp_path):
    drn = Drn(shop.parent, f"sqlite:///{tmp_path}/a.sqlite")
    answers, over = [], threading.Event()

    def click(client: int) -> None:
        for number in itertools.count():
            if over.is_set():
                return
            answers.append(drn.visit(f"s{client}-{number // 20}", f"p{number % 30 + 1}"))

    def serves(version: int) -> None:
        wait_for(lambda: answers and answers[-1][1].get("model", {}).get("version") == version)

    clients = [threading.Thread(target=click, args=(number,)) for number in range(3)]
    for client in clients:
        client.start()
    try:
        serves(1)
        write_version(shop, 2, seed=2)
        serves(2)
        broken = write_version(tmp_path / "broken", 3, seed=3)
        (broken / "model.onnx").write_bytes((broken / "model.onnx").read_bytes()[:-200])
        shutil.copytree(broken, shop / "3")
        wait_for(lambda: any('"refused"' in line for line in drn.lines))
        serves(2)
        shutil.rmtree(shop / "3")
        write_version(shop, 4, seed=4)
        serves(4)
        shutil.rmtree(shop / "4")  # back to the version before
        serves(2)
    finally:
        over.set()
        for client in clients:
            client.join()
    assert {status for status, _, _ in answers} == {200}
    _, answer, _ = drn.visit("one", "p1")
    (wanted,) = Model(shop / "2").recommend([Query([("p1", 1)])])
    assert [one["item"] for one in answer["items"]] == [item for item, _ in wanted.items]
    assert drn.stop() == 0


def test_a_refused_version_is_tried_again_when_its_files_change(shop):
    tried = []
    repository = Repository(shop.parent, report=lambda name, version, why: tried.append((version, bool(why))))
    folder = write_version(shop, 2, seed=2)
    whole = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(whole[:100])
    for _ in range(3):
        repository.scan()
    assert tried == [(1, False), (2, True)]
    assert repository.find("shop").version == 1
    assert [one["state"] for one in repository.index()] == ["READY", "UNAVAILABLE"]
    (folder / "model.onnx").write_bytes(whole)
    repository.scan()
    assert tried[2:] == [(2, False)]
    assert repository.find("shop").version == 2
    with pytest.raises(ModelError):
        repository.find("shop", 1)


def test_a_model_that_answers_nonsense_is_refused_by_its_probe(shop):
    import numpy as np
    import onnx
    from onnx import numpy_helper

    repository = Repository(shop.parent)
    folder = write_version(shop, 2, seed=2)
    (folder / "manifest.json").unlink()
    model = onnx.load(folder / "model.onnx")
    (bias,) = [one for one in model.graph.initializer if one.name == "output_bias"]
    bias.CopyFrom(numpy_helper.from_array(np.full(bias.dims, np.nan, np.float32), "output_bias"))
    onnx.save(model, folder / "model.onnx")
    repository.scan()
    assert repository.find("shop").version == 1
    assert "probe" in repository.index()[1]["reason"]


def test_a_pinned_version_stays(shop):
    write_version(shop, 2, seed=2)
    repository = Repository(shop.parent, choice=VersionChoice(pin=1))
    repository.scan()
    assert repository.of_session("any").version == 1
    assert Repository(shop / "1").of_session("any").version == 1
    with pytest.raises(ModelError, match="version 7"):
        Repository(shop.parent, choice=VersionChoice(pin=7))


def test_two_versions_share_the_sessions_by_their_hash(shop):
    write_version(shop, 2, seed=2)
    repository = Repository(shop.parent, choice=VersionChoice(rival=1, share=0.25))
    served = {f"s{number}": repository.of_session(f"s{number}").version for number in range(4000)}
    assert sum(version == 1 for version in served.values()) / 4000 == pytest.approx(0.25, abs=0.03)
    write_version(shop, 3, seed=3)
    repository.scan()
    assert all(repository.of_session(name).version == (1 if before == 1 else 3) for name, before in served.items())
    assert repository.arms() == {"served": (3, 0.75), "rival": (1, 0.25)}


def test_what_became_of_recommendations_is_counted_by_version(shop, tmp_path):
    write_version(shop, 2, seed=2)
    drn = Drn(shop.parent, f"sqlite:///{tmp_path}/a.sqlite", "--rival", "1", "--share", "0.5")
    versions = set()
    for number in range(12):
        _, answer, _ = drn.visit(f"s{number}", "p1")
        versions.add(answer["model"]["version"])
        taken = answer["items"][0]["item"] if number % 2 else "something else"
        drn("POST", f"/v1/sessions/s{number}/purchases", {"item": taken})
    _, found, _ = drn("GET", "/v1/models")
    figures = [arm["outcomes"]["buy"] for arm in found["arms"]]
    assert versions == {1, 2}
    assert [sum(one[key] for one in figures) for key in ("held", "of")] == [6, 12]
    assert drn.stop() == 0


def test_no_moment_of_a_swap_is_without_a_version(shop):
    repository = Repository(shop.parent)
    served = []

    def ask(frame, _event, _argument):
        """Be another thread's request between any two lines of the scan."""
        if frame.f_code.co_name != "_scan":
            return None
        served.append(repository.of_session("s").version)
        return ask

    write_version(shop, 2, seed=2)
    before = sys.gettrace()
    sys.settrace(ask)
    try:
        repository.scan()
    finally:
        sys.settrace(before)
    assert served[0] == 1
    assert repository.of_session("s").version == 2


def test_a_version_is_what_triton_takes_for_one(shop, tmp_path):
    for name in ("007", "٣", "0", "x"):
        shutil.copytree(shop / "1", shop / name)
    repository = Repository(shop.parent)
    assert [one["version"] for one in repository.index()] == ["1"]
    assert Model(shop.parent).file == shop / "1" / "model.onnx"
    assert version_number("10") == 10
    other = write_version(tmp_path / "other", 5, seed=5)
    assert publish(other, shop) == shop / "2" / "model.onnx"
