"""A run for other readers of Caffe's files: what is written, and that it is all or nothing."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner
from trained_run import write_run

from generator.cli import drn
from generator.codegen import net
from generator.errors import ModelError
from generator.export.caffe import export_caffe
from generator.export.portable import PortableInputs
from generator.model.model import Model
from generator.model.query import Query
from generator.model.windows import input_blobs

SESSION = Query(
    [("page-2", 5.0), ("page-3", 9.0), ("nowhere", 1.0), ("page-3", 4.0), ("page-7", 2.0)], bought=["item-4"]
)


@pytest.fixture
def run(tmp_path):
    write_run(tmp_path / "run")
    return tmp_path / "run"


def test_inputs_of_a_session_as_the_paper_has_them(run, tmp_path):
    export_caffe(run, tmp_path / "caffe")
    inputs = PortableInputs(tmp_path / "caffe")
    blobs = inputs([SESSION, Query([])])
    assert {name: array.shape for name, array in blobs.items()} == {
        name: (2, size) for name, size in inputs.sizes.items()
    }
    ones = {name: np.flatnonzero(array[0]).tolist() for name, array in blobs.items()}
    assert [ones[f"page_t{t}_onehot"] for t in range(3)] == [[2], [2], [6]]
    assert ones["history_page_bag"] == [1]
    assert ones["bought_bag"] == [3]
    assert blobs["mask_history"][0].tolist() == [1] * 8
    assert blobs["mask_t2_6"][0].tolist() == [1] * 6
    assert not any(array[1].any() for array in blobs.values())


def test_a_large_catalogue_has_its_tables_beside_the_net(run, tmp_path, monkeypatch):
    monkeypatch.setattr(net, "MOST_ONE_HOT", 11)  # 12 pages, 10 items
    export_caffe(run, tmp_path / "caffe")
    inputs = PortableInputs(tmp_path / "caffe")
    assert {"visit_t0", "history", "bought_bag"} <= inputs.sizes.keys()
    with np.load(tmp_path / "caffe" / "tables.npz") as tables:
        assert set(tables) == {"page_embedding"}
        np.testing.assert_array_equal(inputs([SESSION])["visit_t2"][0], tables["page_embedding"][7])
        np.testing.assert_array_equal(inputs([SESSION])["history"][0], tables["page_embedding"][2])


def test_the_model_without_a_scatter_that_adds(tmp_path):
    """Of a mixture with slots: the answers of model.onnx, to the bit."""
    head = {"tied": True, "projection": True, "mix": {"pages": 4, "newest": 3, "followers": 3}, "slots": 2}
    write_run(tmp_path / "run", seed=3, net="rnn", pages=10, items=10, data={"target": "next"}, head=head)
    done = CliRunner().invoke(drn, ["export", str(tmp_path / "run"), "--onnx", str(tmp_path / "out/plain.onnx")])
    assert done.exit_code == 0, done.output
    version = tmp_path / "run/models/small/1"
    for name in ("pages.txt", "items.txt"):
        (tmp_path / "out" / name).write_bytes((version / name).read_bytes())
    queries = [Query([(f"page-{(k + j * j) % 13}", 2.0 + j) for j in range(k)]) for k in range(9)]
    plain, model = (Model(path) for path in (tmp_path / "out/plain.onnx", tmp_path / "run"))
    assert plain.recommend(queries, 12) == model.recommend(queries, 12)
    nodes = onnx.load(tmp_path / "out/plain.onnx").graph.node
    scatters = [node for node in nodes if node.op_type == "ScatterElements"]
    assert len(scatters) == 5
    assert not [attribute.name for node in scatters for attribute in node.attribute if attribute.name == "reduction"]


def test_the_model_with_ids_of_32_bits(run, tmp_path):
    done = CliRunner().invoke(drn, ["export", str(run), "--onnx", str(tmp_path / "narrow.onnx"), "--int32"])
    assert done.exit_code == 0, done.output
    wide, narrow = (onnxruntime.InferenceSession(path) for path in (Model(run).file, tmp_path / "narrow.onnx"))
    kinds = {one.name: one.type for one in (*narrow.get_inputs(), *narrow.get_outputs())}
    assert {kinds[name] for name in ("page", "history_page", "bought", "top_item")} == {"tensor(int32)"}
    assert "tensor(int64)" not in kinds.values()
    model = Model(run)
    blobs = input_blobs([model.window(SESSION), model.window(Query([("page-5", 1.0)]))], model.sizes)
    kinds = {name: np.int32 if array.dtype == np.int64 else np.float32 for name, array in blobs.items()}
    found = narrow.run(None, {name: array.astype(kinds[name]) for name, array in blobs.items()})
    for ours, theirs in zip(wide.run(None, blobs), found, strict=True):
        np.testing.assert_array_equal(theirs, ours)


def test_int32_goes_with_onnx(run, tmp_path):
    done = CliRunner().invoke(drn, ["export", str(run), "--caffe", str(tmp_path / "caffe"), "--int32"])
    assert done.exit_code == 2
    assert "--int32 is of --onnx FILE" in done.output
    assert not (tmp_path / "caffe").exists()


def test_a_folder_of_something_else_stays(run, tmp_path):
    (tmp_path / "caffe").mkdir()
    (tmp_path / "caffe" / "letter.txt").write_text("dear")
    with pytest.raises(ModelError, match=r"holds no deploy\.portable\.prototxt, so it is not overwritten"):
        export_caffe(run, tmp_path / "caffe")
    assert [path.name for path in tmp_path.iterdir() if path.name != "run"] == ["caffe"]


def test_the_run_itself_stays(run):
    """It has the portable net among its own files, as a folder of an export has."""
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    (run / "deploy.portable.prototxt").write_text("of gen-model")
    with pytest.raises(ModelError, match=r"run: holds models, which is no part of an export, so it is not overwritten"):
        export_caffe(run, run)
    assert before.items() <= {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}.items()


def test_an_earlier_export_is_replaced_whole(run, tmp_path):
    export_caffe(run, tmp_path / "caffe")
    (tmp_path / "caffe" / "tables.npz").write_bytes(b"of before")
    export_caffe(run, tmp_path / "caffe")
    assert not (tmp_path / "caffe" / "tables.npz").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["caffe", "run"]


def test_a_failure_leaves_what_was(run, tmp_path):
    export_caffe(run, tmp_path / "caffe")
    before = {path.name: path.read_bytes() for path in (tmp_path / "caffe").iterdir()}
    (run / "models" / "small" / "1" / "items.txt").unlink()
    with pytest.raises(OSError, match="items"):
        export_caffe(run, tmp_path / "caffe")
    assert {path.name: path.read_bytes() for path in (tmp_path / "caffe").iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["caffe", "run"]


def test_a_model_without_its_spec_is_refused(run, tmp_path):
    (run / "spec.yaml").unlink()
    with pytest.raises(ModelError, match=r"holds no spec\.yaml; take the folder of a drn train run"):
        export_caffe(run, tmp_path / "caffe")


def test_weights_of_another_spec_are_refused(run, tmp_path):
    text = (run / "spec.yaml").read_text()
    (run / "spec.yaml").write_text(text.replace("widths:\n  - 5", "widths:\n  - 5\n  - 4").replace("[5]", "[5, 4]"))
    with pytest.raises(ModelError, match=r"holds no fnn2_weight, fnn2_bias; is spec\.yaml of the run that made it"):
        export_caffe(run, tmp_path / "caffe")


def test_the_command(run, tmp_path):
    caffe, file = tmp_path / "caffe", tmp_path / "all.caffemodel"
    arguments = ["export", str(run), "--caffe", str(caffe), "--caffemodel", "all-uses", "-o", str(file)]
    said = CliRunner().invoke(drn, arguments, catch_exceptions=False)
    assert said.output.splitlines() == [
        f"{caffe}: deploy.portable.prototxt and .caffemodel, spec.yaml, pages.txt, items.txt",
        f"{file}: a copy of each parameter in every layer that uses it",
    ]
    answer = json.loads(CliRunner().invoke(drn, [*arguments, "--format", "json"]).output)
    assert answer["caffe"]["inputs"]["bought_bag"] == 10
    report = json.loads(CliRunner().invoke(drn, ["inspect", str(file), "--format", "json"]).output)
    assert report["parameters"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [([], "say what to write"), (["--caffemodel", "all-uses"], "belong together"), (["-o", "x"], "say what to write")],
)
def test_wrong_use(run, arguments, message):
    said = CliRunner().invoke(drn, ["export", str(run), *arguments])
    assert said.exit_code == 2
    assert message in said.output
