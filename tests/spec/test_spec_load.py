"""A spec read, overridden, written and hashed."""

import json
import subprocess
import sys

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from generator.errors import SpecError
from generator.spec import Spec, dump_spec, json_schema, load_spec, parse_spec, source, spec_hash

GOOD = """\
# A shop.
name: shop
net: combined
pages: 100
items: 50
rnn:
  window: 4
  widths: [16, 8]
  history: 12
fnn: {bought: 3, widths: [8]}
solver:
  type: Adam
  base_lr: 1e-3
  stepvalue: []
  multipliers:
    table: {lr: 2}
"""
# The same spec, written by someone else: JSON, other order, a default written out, numbers spelt otherwise.
SAME = """\
{"solver": {"multipliers": {"table": {"lr": 2.0, "decay": 0}}, "base_lr": 0.001, "type": "Adam"},
 "fnn": {"widths": [8], "bought": 3}, "rnn": {"widths": [16, 8], "history": 0xC, "window": 4}, "top_k": 20,
 "items": 50, "pages": 100, "net": "combined", "name": "shop"}
"""


def _arch_specs(root):
    return sorted((root / "arch_specs").glob("*.yaml"))


def test_a_spec_holds_what_was_written():
    spec = parse_spec(GOOD, "shop.yaml")
    assert (spec.name, spec.net, spec.pages, spec.items) == ("shop", "combined", 100, 50)
    assert (spec.window, spec.history, spec.bought) == (4, 12, 3)
    assert spec.rnn is not None
    assert spec.rnn.widths == [16, 8]
    assert spec.solver.base_lr == 0.001
    assert spec.top_k == 20
    assert spec.init.table.std == 0.1


def test_setting_one_multiplier_leaves_the_other_at_its_default():
    multipliers = parse_spec(GOOD, "shop.yaml").solver.multipliers
    assert (multipliers.table.lr, multipliers.table.decay) == (2.0, 0.0)
    assert (multipliers.weight.lr, multipliers.weight.decay) == (1.0, 1.0)


@pytest.mark.parametrize("net", ["rnn", "fnn", "combined"])
def test_net_alone_can_be_switched(net):
    spec = parse_spec(GOOD, "shop.yaml", [f"net={net}"])
    assert (spec.window > 0, spec.bought > 0) == (net != "fnn", net != "rnn")


def test_hash_does_not_depend_on_how_it_was_written():
    one, other = parse_spec(GOOD, "shop.yaml"), parse_spec(SAME, "shop.json")
    assert one == other
    assert spec_hash(one) == spec_hash(other)
    assert len(spec_hash(one)) == 64
    assert dump_spec(one) == dump_spec(other)


@pytest.mark.parametrize("change", ["name=stop", "rnn.history=13", "solver.base_lr=0.002", "init.bias.type=xavier"])
def test_hash_depends_on_every_value(change):
    sets = ["init.bias={type: constant}"]
    assert spec_hash(parse_spec(GOOD, "x", sets)) != spec_hash(parse_spec(GOOD, "x", [*sets, change]))


def test_dump_leaves_defaults_out_and_reads_back():
    spec = parse_spec(GOOD, "shop.yaml")
    text = dump_spec(spec)
    assert parse_spec(text, "dump.yaml") == spec
    assert yaml.safe_load(text) == {
        "name": "shop",
        "net": "combined",
        "pages": 100,
        "items": 50,
        "rnn": {"window": 4, "widths": [16, 8], "history": 12},
        "fnn": {"bought": 3, "widths": [8]},
        "solver": {"type": "Adam", "base_lr": 0.001, "multipliers": {"table": {"lr": 2.0}}},
    }


@pytest.mark.parametrize("name", ["no", "on", "y", "null", "e1", "n-1"])
def test_dump_quotes_names_that_other_readers_take_for_something_else(name):
    spec = parse_spec(GOOD.replace("shop\n", f"'{name}'\n"), "shop.yaml")
    assert parse_spec(dump_spec(spec), "dump.yaml").name == name
    assert yaml.safe_load(dump_spec(spec))["name"] == name


finite = st.floats(-3e38, 3e38)
widths = st.lists(st.integers(1, 65536), min_size=1, max_size=4)
filler = st.fixed_dictionaries(
    {"type": st.sampled_from(["constant", "gaussian", "xavier"])}, optional={"value": finite, "std": st.floats(0, 1e30)}
)
multiplier = st.fixed_dictionaries({}, optional={"lr": st.floats(0, 1e6), "decay": st.floats(0, 1e6)})
plain_specs = st.fixed_dictionaries(
    {
        "name": st.from_regex(r"[a-z][a-z0-9_-]{0,63}", fullmatch=True),
        "net": st.sampled_from(["fnn", "rnn", "combined"]),
        "pages": st.integers(1, 2**24 - 1),
        "items": st.integers(1000, 2**24 - 1),
        "rnn": st.fixed_dictionaries({"window": st.integers(1, 256), "widths": widths}),
        "fnn": st.fixed_dictionaries({"bought": st.integers(1, 4096), "widths": widths}),
    },
    optional={
        "top_k": st.integers(1, 1000),
        "init": st.fixed_dictionaries({}, optional={"table": filler, "weight": filler, "bias": filler}),
        "solver": st.fixed_dictionaries(
            {},
            optional={
                "base_lr": st.floats(1e-38, 3e38),
                "clip_gradients": st.none() | st.floats(1e-30, 1e30),
                "stepvalue": st.lists(st.integers(1, 2**31 - 1), unique=True, max_size=5).map(sorted),
                "multipliers": st.fixed_dictionaries({}, optional={"table": multiplier, "weight": multiplier}),
            },
        ),
    },
)


@given(plain_specs)
@settings(max_examples=60, deadline=None)
def test_any_spec_survives_dump_and_load(plain):
    spec = parse_spec(json.dumps(plain), "x.json")
    again = parse_spec(dump_spec(spec), "x.yaml")
    assert again == spec
    assert spec_hash(again) == spec_hash(spec)


def test_defaults_hold_themselves():
    spec = parse_spec(GOOD, "shop.yaml")
    assert Spec.model_validate(spec.model_dump()) == spec


def test_overrides_set_values_lists_sections_and_null():
    sets = ["rnn.window=8", "rnn.widths=[32]", "solver.base_lr=1e-2", "data.target=next", "fnn=null", "net=rnn"]
    spec = parse_spec(GOOD, "shop.yaml", [*sets, "init.weight={type: msra}", "rnn.window=9"])
    assert spec.rnn is not None
    assert (spec.rnn.window, spec.rnn.widths, spec.fnn) == (9, [32], None)
    assert (spec.solver.base_lr, spec.data.target, spec.init.weight.type) == (0.01, "next", "msra")
    assert spec.solver.type == "Adam"  # what the file says beside it stays


def test_an_override_mends_the_value_it_replaces():
    broken = GOOD.replace("window: 4", "window: four").replace("{bought: 3, widths: [8]}", "3")
    spec = parse_spec(broken, "shop.yaml", ["rnn.window=4", "fnn={bought: 3, widths: [8]}"])
    assert spec == parse_spec(GOOD, "shop.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("1e-3", 1e-3), ("1E3", 1000.0), (".5", 0.5), ("5.", 5.0), ("-0", 0), ("+7", 7), ("0x1F", 31)],
        *[("~", None), ("null", None), ("", None), ("true", True), ("FALSE", False), (".inf", float("inf"))],
        *[("yes", "yes"), ("off", "off"), ("1:30", "1:30"), ("010", "010"), ("1_000", "1_000"), ("tRUE", "tRUE")],
        *[("2016-01-01", "2016-01-01"), ("1.2.3", "1.2.3"), ("e3", "e3"), (".", "."), ("=", "="), ("inf", "inf")],
    ],
)
def test_scalars_are_read_by_yaml_1_2(text, value):
    assert source.plain_scalar(text) == value
    assert type(source.plain_scalar(text)) is type(value)


def test_the_parser_in_python_reads_the_same(monkeypatch, root):
    fast = [load_spec(path) for path in _arch_specs(root)]
    monkeypatch.setattr(source, "_LOADER", yaml.SafeLoader)
    assert [load_spec(path) for path in _arch_specs(root)] == fast
    with pytest.raises(SpecError, match=r"^x\.yaml:1:7: @ cannot start a value"):
        parse_spec("name: @x", "x.yaml")


def test_rules_hold_for_a_spec_built_in_python():
    plain = yaml.safe_load(GOOD.replace("1e-3", "0.001"))
    with pytest.raises(ValidationError, match=r"rnn\.layers: 3 given, but widths lists 2"):
        Spec.model_validate({**plain, "rnn": {**plain["rnn"], "layers": 3}})


def test_a_spec_is_immutable():
    with pytest.raises(ValidationError):
        parse_spec(GOOD, "shop.yaml").net = "rnn"


def test_json_schema_agrees_with_the_specs_in_use(root):
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for path in _arch_specs(root):
        validator.validate(yaml.safe_load(dump_spec(load_spec(path))))


@pytest.mark.parametrize(
    ("path", "value"), [("window", 0), ("widths", []), ("widths", "16"), ("layers", 1.5), ("windw", 1)]
)
def test_json_schema_refuses_what_the_loader_refuses(path, value):
    plain = yaml.safe_load(dump_spec(parse_spec(GOOD, "shop.yaml")))
    plain["rnn"][path] = value
    assert not jsonschema.Draft202012Validator(json_schema()).is_valid(plain)
    with pytest.raises(SpecError):
        parse_spec(json.dumps(plain), "x.json")


def test_importing_the_floor_imports_no_heavy_library():
    code = (
        "import sys; import generator.spec; assert 'pydantic' not in sys.modules;"
        "from generator.spec import load_spec, Spec;"
        "print(*sorted({'numpy', 'onnx', 'rich', 'click', 'jinja2', 'h5py'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "\n"


def test_a_top_k_nobody_gave_is_no_more_than_the_items():
    text = "name: shop\nnet: rnn\npages: 100\nitems: 12\nrnn: {window: 4, widths: [16]}\n"
    spec = parse_spec(text, "x.yaml")
    assert spec.top_k == 12
    assert parse_spec(dump_spec(spec), "x.yaml") == spec == parse_spec(f"{text}top_k: 12\n", "x.yaml")
    assert parse_spec(text, "x.yaml", ["items=50"]).top_k == 20
    with pytest.raises(SpecError) as caught:
        parse_spec(f"{text}loss: some\nrnn: 1\n", "x.yaml")
    assert "top_k" not in str(caught.value)


def test_a_finding_says_as_data_what_was_seen_where_and_what_is_allowed():
    with pytest.raises(SpecError) as caught:
        parse_spec("name: shop\nnet: rnn\npages: 100\nitems: 12\nrnn: {window: 999, widths: [x]}\n", "x.yaml")
    assert [
        (one.place.source, one.place.line, one.place.column, one.path, one.words.seen, one.words.allowed)
        for one in caught.value.findings
    ] == [
        ("x.yaml", 5, 15, ("rnn", "window"), "999 is too large", "at most 256"),
        ("x.yaml", 5, 29, ("rnn", "widths", 0), "'x' is text", "a whole number from 1 to 65536"),
    ]
