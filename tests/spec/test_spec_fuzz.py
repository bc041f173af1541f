"""Whatever bytes a spec file holds: a Spec or a SpecError, nothing else, and no spec that does not read back."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from generator.errors import SpecError
from generator.spec import Spec, dump_spec, load_spec, parse_spec

VALID = b"""\
# A shop.
name: shop
net: combined
pages: 100
items: 50
rnn:
  window: 4
  widths: [16, 8]
  layers: 2
fnn: {bought: 3, widths: [8]}
loss: every
top_k: 5
init:
  weight: {type: uniform, min: -0.5, max: .5}
solver:
  base_lr: 1e-3
  lr_policy: multistep
  stepvalue:
    - 100
    - 200
"""
# Bytes and words with a meaning of their own in YAML or in a spec.
PIECES = [
    *[bytes([byte]) for byte in b"\x00\t\n\r :,-?[]{}&*!|>'\"%@`#<=.0\\"],
    *[b"\n  ", b": ", b"- ", b"<<: ", b"&a ", b"*a", b"!!int ", b"---\n", b"...\n", b"~", b"null", b"yes", b"1e-3"],
    *[
        b".inf",
        b".nan",
        b"010",
        b"1:30",
        b"1_0",
        b"9" * 5000,
        b"-",
        b"window",
        b"rnn",
        b"type",
        b"[" * 40,
        b"{a: " * 40,
    ],
    *[
        b"\xff",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b"\xc2\x85",
        b"\xe2\x80\xa8",
        "é😀".encode(),
        b"%YAML 1.1\n",
        b"? [a]\n",
    ],
]
cuts = st.tuples(st.integers(0, len(VALID)), st.integers(0, 12), st.sampled_from(PIECES) | st.binary(max_size=4))


def _mutated(edits):
    text = VALID
    for start, length, piece in edits:
        text = text[:start] + piece + text[start + length :]
    return text


def _spec_or_findings(path, overrides=()):
    try:
        spec = load_spec(path, overrides)
    except SpecError as error:
        lines = str(error).split("\n")
        assert all(line.startswith((f"{path}:", "--set ", "... and ")) for line in lines)
        assert all(line.isprintable() for line in lines)
        assert "pydantic" not in str(error)
        return
    assert isinstance(spec, Spec)
    assert parse_spec(dump_spec(spec), "dump.yaml") == spec


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "spec.yaml"


@given(edits=st.lists(cuts, min_size=1, max_size=4))
@settings(max_examples=400, deadline=None)
def test_a_mutated_spec(path, edits):
    path.write_bytes(_mutated(edits))
    _spec_or_findings(path)


@given(content=st.binary(max_size=200))
@example(content=b"\xff\xfea\x00:\x00")
@settings(max_examples=100, deadline=None)
def test_any_bytes(path, content):
    path.write_bytes(content)
    _spec_or_findings(path)


keys = st.sampled_from(["rnn.window", "rnn.widths", "solver.base_lr", "init.table", "fnn", "net", "a.b", "rnn..x", ""])
values = st.sampled_from([piece.decode("latin-1") for piece in PIECES]) | st.text(max_size=8)


@given(overrides=st.lists(st.builds("{}={}".format, keys, values) | st.text(max_size=8), max_size=3))
@settings(max_examples=200, deadline=None)
def test_any_override(path, overrides):
    path.write_bytes(VALID)
    _spec_or_findings(path, overrides)
