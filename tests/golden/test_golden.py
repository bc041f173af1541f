"""Specs with the texts they give, byte by byte, each text read back by a parser that is not drn's.

A case is a pair of files: FOLDER/NAME.yaml, whose first line names artefacts (`# train_val.prototxt loss.onnxtxt`), and
beside it one NAME.ARTEFACT for each. To add one, write the spec and run `pytest tests/golden --update`; look at the
text that appears before you keep it.
"""

import hashlib
import json
import re
from pathlib import Path

import onnx
import pytest
from google.protobuf import text_format

from generator.caffe.schema import NetParameter, SolverParameter
from generator.codegen.artefacts import generate_text
from generator.files import write_text
from generator.spec import load_spec

HERE = Path(__file__).parent
CASES = sorted(HERE.rglob("*.yaml"))
# The group that makes each artefact; only the manifest wants all.
GROUPS = {
    "config.pbtxt": ["triton"],
    "gradient.onnxtxt": ["gradient"],
    "graph.dot": ["graph"],
    "loss.onnxtxt": ["onnx"],
    "manifest.json": ["caffe", "portable", "onnx", "triton", "graph", "gradient"],
    "model.onnxtxt": ["onnx"],
    "deploy.portable.prototxt": ["portable"],
    "deploy.prototxt": ["caffe"],
    "solver.prototxt": ["caffe"],
    "train_val.prototxt": ["caffe"],
}


def artefacts(case: Path) -> list[str]:
    first = case.read_text().partition("\n")[0]
    found = first.removeprefix("# ").split()
    assert first.startswith("# ") and set(found) <= set(GROUPS), f"{case}:1: not `# ` and artefacts: {first}"
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.relative_to(HERE).with_suffix("")))
def test_golden(case, request):
    spec = load_spec(case)
    names = artefacts(case)
    texts = generate_text(spec, {group for name in names for group in GROUPS[name]})
    for name in names:
        expected = case.with_name(f"{case.stem}.{name}")
        if request.config.getoption("--update", default=False):
            write_text(expected, texts[name])
        assert texts[name] == expected.read_text(encoding="utf-8")
        holds(name, texts)


def holds(name: str, texts: dict[str, str]) -> None:
    """Read a text by protobuf's, ONNX's or Python's own parser."""
    text = texts[name]
    if name == "solver.prototxt":
        text_format.Parse(text, SolverParameter())
    elif name.endswith(".prototxt"):
        net = text_format.Parse(text, NetParameter())
        made: set[str] = set()
        for layer in net.layer:
            assert set(layer.bottom) <= made, f"{layer.name} reads what no layer before it makes"
            made |= set(layer.top)
    elif name.endswith(".onnxtxt"):
        onnx.checker.check_model(onnx.parser.parse_model(text), full_check=True)
    elif name == "manifest.json":
        for other, digest in json.loads(text)["sha256"].items():
            assert hashlib.sha256(texts[other].encode()).hexdigest() == digest
    else:  # Triton's and Graphviz's parsers are not here: the brackets must close
        bare = re.sub(r'"[^"]*"', "", text)
        assert [bare.count(bracket) for bracket in "[{("] == [bare.count(bracket) for bracket in "]})"]


def test_there_is_no_text_without_its_spec():
    wanted = {case.with_name(f"{case.stem}.{name}") for case in CASES for name in artefacts(case)}
    there = {path for path in HERE.rglob("*.*") if path.name.endswith(tuple(GROUPS))}
    assert there == wanted


def test_the_cases_are_many_and_small():
    assert len(CASES) >= 300
    assert sum(path.stat().st_size for path in HERE.rglob("*.*")) < 2_500_000
