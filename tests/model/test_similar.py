"""The items that a net has most alike, against the cosine written out, for every kind of head."""

import json

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from trained_run import write_run

import generator as drn
from generator.cli import drn as group
from generator.errors import DataError, ModelError
from generator.model.model import Model
from generator.model.similar import Similar

TIED = {"pages": 10, "items": 10, "head": {"tied": True, "projection": True}, "data": {"target": "next"}}
NETS = {
    "combined": ({}, ["output_rnn_weight", "output_fnn_weight"]),
    "rnn": ({"net": "rnn"}, ["output_rnn_weight"]),
    "fnn": ({"net": "fnn"}, ["output_fnn_weight"]),
    "tied": ({"net": "rnn", **TIED}, ["page_embedding"]),
    "slots": ({"net": "rnn", **TIED, "head": {**TIED["head"], "mix": {}, "slots": 2}}, ["page_embedding"]),
}


def nearest(run, tables, label, count, kind="item"):
    """By a loop over pairs, in double precision."""
    held = {each.name: onnx.numpy_helper.to_array(each).astype(float) for each in onnx.load(run).graph.initializer}
    size = min(len(held[name]) for name in tables)
    rows = np.concatenate([held[name][:size] for name in tables], axis=1)
    own = rows[int(label.partition("-")[2])]
    cosine = {}
    for number in range(1, 11 if kind == "item" else 13):
        if f"{kind}-{number}" != label:
            row = rows[number]
            cosine[f"{kind}-{number}"] = row @ own / np.sqrt((row @ row) * (own @ own))
    return sorted(cosine.items(), key=lambda pair: -pair[1])[:count]


@pytest.mark.parametrize("name", NETS)
def test_the_rows_of_the_output_decide(tmp_path, name):
    changes, tables = NETS[name]
    write_run(tmp_path / "run", seed=5, **changes)
    model = Model(tmp_path / "run")
    found = Similar(model).nearest("item-4", 6)
    wanted = nearest(model.file, tables, "item-4", 6)
    assert [item for item, _ in found] == [item for item, _ in wanted]
    np.testing.assert_allclose([cosine for _, cosine in found], [cosine for _, cosine in wanted], atol=1e-6)
    assert len(Similar(model).nearest("item-4", 99)) == 9


def test_pages_are_compared_by_what_is_read_of_them(tmp_path):
    write_run(tmp_path / "run")
    found = drn.similar(tmp_path / "run", "page-12", 3, kind="pages")
    wanted = nearest(Model(tmp_path / "run").file, ["page_embedding"], "page-12", 3, "page")
    assert [page for page, _ in found] == [page for page, _ in wanted]


def test_what_the_model_does_not_know(tmp_path):
    write_run(tmp_path / "run")
    with pytest.raises(DataError, match=r"^small knows no item 'itme-7'; did you mean 'item-7'\?$"):
        drn.similar(tmp_path / "run", "itme-7")
    with pytest.raises(DataError, match=r"knows no page 'weather'; pages\.txt beside its model\.onnx lists them$"):
        drn.similar(tmp_path / "run", "weather", kind="pages")
    with pytest.raises(DataError, match="the 0 most similar items"):
        drn.similar(tmp_path / "run", "item-7", 0)
    write_run(tmp_path / "fnn", net="fnn")
    with pytest.raises(ModelError, match="holds no table of pages: it reads none"):
        drn.similar(tmp_path / "fnn", "page-1", kind="pages")


def test_the_command(tmp_path):
    write_run(tmp_path / "run")
    arguments = ["similar", str(tmp_path / "run"), "item-3", "item-4", "-k", "2"]
    done = CliRunner().invoke(group, [*arguments, "--format", "json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert list(found) == ["item-3", "item-4"]
    wanted = drn.similar(tmp_path / "run", "item-4", 2)
    assert [(each["item"], each["cosine"]) for each in found["item-4"]] == list(wanted)
    assert f"│ {wanted[0][0]} " in CliRunner().invoke(group, arguments).output
