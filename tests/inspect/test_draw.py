"""Pictures: what dot draws has every layer; without dot the message says what to install."""

import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner

from generator.cli import drn
from generator.errors import ModelError
from generator.inspect.draw import dot_of, draw
from generator.inspect.folder import inspect
from generator.inspect.report import FileReport, LayerReport

needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="graphviz is not here; apt install graphviz")


def nodes(svg: Path) -> list[str]:
    """The first line of text in each node of a graphviz SVG."""
    space = "{http://www.w3.org/2000/svg}"
    groups = [group for group in ET.parse(svg).iter(f"{space}g") if group.get("class") == "node"]
    return [group.find(f".//{space}text").text for group in groups]


@needs_dot
def test_every_layer_of_a_prototxt_is_drawn(root, tmp_path):
    path = root / "generated" / "rnn" / "deploy.prototxt"
    result = CliRunner().invoke(drn, ["inspect", str(path), "--draw", str(tmp_path / "rnn.svg")])
    assert result.exit_code == 0, result.output
    assert sorted(nodes(tmp_path / "rnn.svg")) == sorted(layer.name for layer in inspect(path).layers)


@needs_dot
@pytest.mark.parametrize("name", ["combined", "fnn", "rnn-history", "yoochoose"])
def test_a_folder_is_drawn_by_states_oldest_left(root, tmp_path, name):
    draw(inspect(root / "generated" / name), tmp_path / "net.svg")
    drawn = nodes(tmp_path / "net.svg")
    assert {"logit", "probability"} < set(drawn)
    space = "{http://www.w3.org/2000/svg}"
    left = {text.text: float(text.get("x")) for text in ET.parse(tmp_path / "net.svg").iter(f"{space}text")}
    columns = [f"hidden1_{column}" for column in ("history", "t0", "t1", "t2", "t3") if f"hidden1_{column}" in left]
    assert columns or name == "fnn"
    assert [left[column] for column in columns] == sorted(left[column] for column in columns)


@needs_dot
def test_an_onnx_model_as_png(root, tmp_path):
    draw(inspect(root / "generated" / "rnn" / "model.onnxtxt"), tmp_path / "m.png")
    assert (tmp_path / "m.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_without_dot_the_message_names_the_package_and_dot_text_still_works(root, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    report = inspect(root / "generated" / "rnn" / "deploy.prototxt")
    with pytest.raises(ModelError, match=r"install the package graphviz .* or write .*rnn\.dot instead"):
        draw(report, tmp_path / "rnn.svg")
    assert not (tmp_path / "rnn.svg").exists()
    draw(report, tmp_path / "rnn.dot")
    assert "hidden1_t0_sum" in (tmp_path / "rnn.dot").read_text()
    draw(inspect(root / "generated" / "rnn"), tmp_path / "folder.dot")
    assert (tmp_path / "folder.dot").read_bytes() == (root / "generated" / "rnn" / "graph.dot").read_bytes()


def test_what_cannot_be_drawn_is_named(root, tmp_path):
    rnn = root / "generated" / "rnn"
    with pytest.raises(ModelError, match=r"net\.gif: drn draws \.svg, \.png, \.dot"):
        draw(inspect(rnn), tmp_path / "net.gif")
    with pytest.raises(ModelError, match="is a solver, which has no layers to draw"):
        draw(inspect(rnn / "solver.prototxt"), tmp_path / "net.svg")


@needs_dot
def test_names_with_quotes_and_backslashes_reach_the_picture(tmp_path):
    odd = 'a "b" \\n <c> & \\'
    report = FileReport("x", "net", {"name": odd}, layers=[LayerReport(odd, "ReLU", (), ("t",), ((1, 2),))])
    assert dot_of(report).count("->") == 0
    draw(report, tmp_path / "odd.svg")
    assert nodes(tmp_path / "odd.svg") == [odd]
