"""A user's templates over drn's own: an LSTM in place of the column, another loss, and what is refused."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from draws import blobs, weights
from torch.nn import functional

from generator.codegen.artefacts import generate
from generator.codegen.render import render
from generator.commands.generate import command
from generator.errors import ModelError, TemplateError
from generator.inspect.caffe_net import net_report
from generator.onnxgraph import gradients
from generator.onnxgraph.parse import parameter_shapes, parse
from generator.spec import parse_spec

LSTM = Path(__file__).parent / "lstm"
BATCH = 5
SPEC = """name: small
net: rnn
pages: 9
items: 7
top_k: 3
rnn: {window: 3, widths: [4, 5], history: 2}
"""


@pytest.fixture
def spec():
    return parse_spec(SPEC, "small.yaml")


@pytest.fixture
def lstm_rules(monkeypatch):
    """The two rules of the example, forgotten after the test."""
    monkeypatch.setattr(gradients, "RULES", kept := dict(gradients.RULES))
    monkeypatch.setattr("generator.onnxgraph.differentiate.RULES", kept)
    runpy.run_path(str(LSTM / "rules.py"))


def templates(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.j2"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def lstm_loss(w: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> torch.Tensor:
    """The same net by PyTorch's own LSTM cell."""
    page = w["page_embedding"]
    history = (page[b["history_page"]] * b["history_weight"][:, :, None]).sum(1)
    inputs = [history, *page[b["page"]].unbind(1)]
    masks = [b["history_page"][:, -1] > 0, *(b["page"] > 0).unbind(1)]
    for layer, width in ((1, 4), (2, 5)):
        cell = torch.nn.LSTMCell(4, width)
        pairs = {"weight_ih": "input_weight", "weight_hh": "recurrent_weight", "bias_ih": "bias"}
        given = {theirs: w[f"hidden{layer}_{ours}"] for theirs, ours in pairs.items()}
        given["bias_hh"] = torch.zeros(4 * width)
        h = c = torch.zeros(BATCH, width)
        outputs = []
        for x, mask in zip(inputs, masks, strict=True):
            h, c = torch.func.functional_call(cell, given, (x, (h, c)))
            h, c = h * mask[:, None], c * mask[:, None]
            outputs.append(h)
        inputs = outputs
    logit = inputs[-1] @ w["output_rnn_weight"].T + w["output_bias"]
    return functional.cross_entropy(logit, b["label"], ignore_index=0)


@pytest.mark.parametrize("seed", range(4))
def test_an_lstm_column_has_the_gradients_of_pytorch(spec, lstm_rules, seed):
    files = generate(spec, templates=LSTM)
    shapes = parameter_shapes(parse(files["model.onnxtxt"].decode(), "model.onnxtxt"))
    assert shapes["hidden2_input_weight"] == (20, 4)
    w, b = weights(shapes, seed), blobs(spec, BATCH, seed)
    session = onnxruntime.InferenceSession(files["gradient.onnx"])
    names = [output.name for output in session.get_outputs()]
    outputs = dict(zip(names, session.run(names, w | b), strict=True))
    wanted = {name: torch.tensor(array, requires_grad=True) for name, array in w.items()}
    expected = lstm_loss(wanted, {name: torch.tensor(array) for name, array in b.items()})
    expected.backward()
    np.testing.assert_allclose(outputs["loss"], expected.detach(), rtol=1e-5)
    for name in shapes:
        if name == "page_embedding":
            found = np.zeros(shapes[name], np.float32)
            np.add.at(found, outputs[f"{name}_grad_rows"], outputs[f"{name}_grad_values"])
        else:
            found = outputs[f"{name}_grad"]
        np.testing.assert_allclose(found, wanted[name].grad, rtol=1e-4, atol=1e-6, err_msg=name)


def test_the_lstm_of_caffe_has_the_parameters_of_onnx(spec, tmp_path):
    for name, text in render(spec, ["caffe"], LSTM).items():
        (tmp_path / name).write_text(text)
    report = net_report(tmp_path / "deploy.prototxt")
    onnx = parameter_shapes(parse(render(spec, ["onnx"], LSTM)["model.onnxtxt"], "model.onnxtxt"))
    assert {parameter.name: parameter.shape for parameter in report.parameters} == onnx


def test_gen_model_takes_templates_and_rules(tmp_path):
    (tmp_path / "small.yaml").write_text(SPEC)
    base = [sys.executable, "-m", "generator", "generate", str(tmp_path / "small.yaml"), "-o", str(tmp_path / "out")]
    run = subprocess.run([*base, "--templates", str(LSTM)], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "operator Tanh has no gradient rule" in run.stderr
    subprocess.run([*base, "--templates", str(LSTM), "--rules", str(LSTM / "rules.py")], check=True)
    assert "Tanh" in (tmp_path / "out" / "small" / "gradient.onnxtxt").read_text()


LOSS = """{%- import "drn/onnx/loss.j2" as original -%}
{%- macro loss(net) -%}
{{ original.loss(net) | replace("loss = Div (loss_sum, label_count)", "cross_entropy = Div (loss_sum, label_count)") }}
{%- set top = "hidden" ~ (net.rnn_widths | length) ~ "_" ~ net.columns[-1] %}
  top_squared = Mul ({{ top }}, {{ top }})
  top_norm = ReduceSum <keepdims = 0> (top_squared)
  loss = Add (cross_entropy, top_norm)
{%- endmacro -%}
"""


def test_another_loss_extends_the_original(spec, tmp_path):
    """Cross-entropy plus the squared norm of the topmost state; every other text stays as it was."""
    folder = templates(tmp_path, onnx__loss=LOSS)
    texts, ours = render(spec, templates=folder), render(spec)
    assert [name for name in texts if texts[name] != ours[name]] == ["loss.onnxtxt"]
    files, plain = generate(spec, ["binary"], templates=folder), generate(spec, ["binary"])
    shapes = parameter_shapes(parse(plain["model.onnxtxt"].decode(), "model.onnxtxt"))
    feed = weights(shapes, 1) | blobs(spec, BATCH, 1)
    found, base = (onnxruntime.InferenceSession(each["gradient.onnx"]) for each in (files, plain))
    # The norm does not reach the output's table: its gradient stays. Those below change.
    for name, same in (("output_rnn_weight_grad", True), ("hidden2_bias_grad", False)):
        pair = [session.run([name], feed)[0] for session in (found, base)]
        assert np.allclose(*pair) == same
    assert found.run(["loss"], feed)[0] > base.run(["loss"], feed)[0]


def test_a_macro_replaced_is_replaced_wherever_drn_uses_it(spec, tmp_path):
    folder = templates(
        tmp_path,
        caffe__layers="""{%- import "drn/caffe/layers.j2" as original -%}
{%- macro relu(blob) %}
layer { name: "{{ blob }}_relu" type: "TanH" bottom: "{{ blob }}" top: "{{ blob }}" }
{%- endmacro -%}
"""
        + "".join(
            f"{{%- set {name} = original.{name} -%}}\n"
            for name in ("bag", "bias", "dropout", "embed", "inner_product", "masked", "param", "reshape", "sum")
        ),
    )
    text = render(spec, ["caffe"], folder)["deploy.prototxt"]
    assert text.count('"TanH"') == 8  # two layers in four columns
    assert "ReLU" not in text


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("\n{% macro loss(net) %}{% if %}", 2, "Expected an expression"),
        ("{% macro loss(net) %}\n\n{{ net.widht }}{% endmacro %}", 3, "no attribute 'widht'"),
        ("{% macro loss(net) %}\n{{ 1 / 0 }}{% endmacro %}", 2, "division by zero"),
        ("{% macro loss(net) %}\n{{ net.__class__ }}{% endmacro %}", 2, "unsafe"),
        ("{% macro loss(net) %}\n{{ ().__class__.__base__ }}{% endmacro %}", 2, "unsafe"),
        ("{% macro loss(net) %}\n{{ net.init.parse_raw('1') }}{% endmacro %}", 2, "unsafe"),
        ("{% macro loss(net) %}\n{{ net.rnn_widths.append(1) }}{% endmacro %}", 2, "unsafe"),
        ("\n{% include '../secret.j2' %}{% macro loss(net) %}{% endmacro %}", 2, "no template ../secret.j2"),
        ("\n{% include '/etc/hostname' %}{% macro loss(net) %}{% endmacro %}", 2, "no template /etc/hostname"),
        ("{% macro other(net) %}{% endmacro %}", 0, "does not export"),
    ],
)  # fmt: skip
def test_an_error_names_file_and_line(spec, tmp_path, text, line, message):
    (tmp_path / "secret.j2").write_text("secret")
    folder = templates(tmp_path / "own", onnx__loss=text)
    with pytest.raises(TemplateError) as caught:
        render(spec, templates=folder)
    said = str(caught.value)
    assert message in said
    if line:
        assert said.startswith(f"{folder / 'onnx' / 'loss.j2'}:{line}: ")


def test_a_link_out_of_the_folder_is_refused(spec, tmp_path):
    (tmp_path / "secret").write_text("secret")
    folder = templates(tmp_path / "own", onnx__loss="{% include 'caffe/loss.j2' %}")
    (folder / "caffe").mkdir()
    (folder / "caffe" / "loss.j2").symlink_to(tmp_path / "secret")
    with pytest.raises(TemplateError, match=r"loss\.j2: is a link out of the folder"):
        render(spec, templates=folder)


def test_templates_that_import_each_other_are_refused(spec, tmp_path):
    folder = templates(tmp_path, onnx__loss="{% import 'drn/onnx/loss.onnxtxt.j2' as x %}{% include 'onnx/loss.j2' %}")
    with pytest.raises(TemplateError, match="import each other without an end"):
        render(spec, templates=folder)


def test_a_name_that_replaces_nothing_is_refused(spec, tmp_path):
    folder = templates(tmp_path, onnx__losses="")
    with pytest.raises(TemplateError, match=r"losses\.j2: replaces no template of drn: .*onnx/loss\.j2"):
        render(spec, templates=folder)
    templates(tmp_path, onnx__loss="{% from 'onnx/losses.j2' import loss %}{% set loss = loss %}")
    templates(tmp_path, onnx__losses="{% macro loss(net) %}  loss = Identity (one){% endmacro %}")
    assert "loss = Identity (one)" in render(spec, templates=folder)["loss.onnxtxt"]


def test_a_graph_that_does_not_hold_is_refused(spec, tmp_path):
    folder = templates(tmp_path, onnx__loss="{% macro loss(net) %}\n  loss = Identity (nothing){% endmacro %}")
    with pytest.raises(ModelError, match=r"loss\.onnxtxt: .*nothing"):
        generate(spec, templates=folder)


def test_a_rule_that_fails_is_named_with_its_line(tmp_path):
    (tmp_path / "small.yaml").write_text(SPEC)
    (tmp_path / "rules.py").write_text("\n\nimport nowhere\n")
    result = CliRunner().invoke(
        command, [str(tmp_path / "small.yaml"), "--rules", str(tmp_path / "rules.py"), "-o", str(tmp_path / "out")]
    )
    assert str(result.exception).startswith(f"{tmp_path / 'rules.py'}:3: ModuleNotFoundError")
    assert not (tmp_path / "out").exists()


def test_a_users_templates_leave_nothing_behind(tmp_path):
    (tmp_path / "small.yaml").write_text(SPEC)
    base = [sys.executable, "-m", "generator", "generate", str(tmp_path / "small.yaml"), "--only", "caffe,onnx"]
    home = tmp_path / "home"
    home.mkdir()
    environment = os.environ | {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}

    def run(*more: str) -> None:
        subprocess.run([*base, *more], env=environment, check=True, capture_output=True)

    run("--templates", str(LSTM), "-o", str(tmp_path / "lstm"))
    run("-o", str(tmp_path / "one"))
    assert "Sigmoid" not in (tmp_path / "one" / "small" / "loss.onnxtxt").read_text()
    assert not list(home.iterdir())
