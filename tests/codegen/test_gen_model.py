"""The command line of `gen-model`: which specs, which mode, and output that holds to its published schema."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner, Result

from generator.codegen.groups import ALL_GROUPS
from generator.codegen.job import Job, each
from generator.commands.generate import command
from generator.errors import TemplateError
from generator.inspect.detect import inspect_file
from generator.spec import load_spec

RNN = "name: {name}\nnet: rnn\npages: 9\nitems: 7\ntop_k: 3\nrnn: {{window: 2, widths: [4]}}\n"
MODES = ("write", "check", "diff", "dry-run", "explain")


def gen_model(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


@pytest.fixture
def nets(tmp_path) -> Path:
    """A folder of three specs."""
    folder = tmp_path / "nets"
    folder.mkdir()
    for name in ("c", "a", "b"):
        (folder / f"{name}.yaml").write_text(RNN.format(name=name))
    return folder


def flag(mode: str) -> list[str]:
    return [] if mode == "write" else [f"--{mode}"]


@pytest.mark.parametrize("mode", MODES)
def test_json_holds_to_the_published_schema(root, nets, tmp_path, mode):
    schema = json.loads(gen_model("--schema", "output").output)
    jsonschema.Draft202012Validator.check_schema(schema)
    (nets / "combined.yaml").write_text((root / "arch_specs" / "combined.yaml").read_text())
    out = tmp_path / "out"
    for _ in range(2):  # with the folder empty, then full
        result = gen_model(nets, *flag(mode), "-o", out, "--format", "json")
        printed = json.loads(result.stdout)
        jsonschema.validate(printed, schema)
        assert printed["mode"] == mode
        assert [spec["name"] for spec in printed["specs"]] == ["a", "b", "c", "combined"]
        gen_model(nets, "-o", out)
    for wrong in (printed | {"mode": "other"}, printed | {"specs": [{}]}, printed | {"more": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


def test_the_schema_of_the_spec_takes_the_specs(root):
    schema = json.loads(gen_model("--schema").output)
    assert schema == json.loads(gen_model("--schema", "spec").output)
    for path in (root / "arch_specs").glob("*.yaml"):
        jsonschema.validate(yaml.safe_load(path.read_text()), schema)


@pytest.mark.parametrize("mode", MODES[1:])
def test_only_writing_writes(nets, tmp_path, mode):
    result = gen_model(nets, *flag(mode), "-o", tmp_path / "out")
    assert result.exit_code == (1 if mode == "check" else 0)
    assert not (tmp_path / "out").exists()


def test_the_help_names_all_groups():
    said = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    assert f"groups of artefacts: {', '.join(ALL_GROUPS)}." in said


def test_two_modes_exclude_each_other(nets):
    result = gen_model(nets, "--check", "--dry-run")
    assert result.exit_code == 2
    assert "--check and --dry-run exclude each other" in result.output


@pytest.mark.skipif(shutil.which("patch") is None, reason="patch(1) is not here")
def test_the_diff_patches_the_folder_into_what_is_generated(nets, tmp_path):
    """Applied by patch(1), the printed diff leaves nothing to differ."""
    out = tmp_path / "out"
    gen_model(nets, "-o", out)
    changed = [nets, "--set", "rnn.window=3", "--set", "solver.base_lr=0.5", "-o", out]
    text = gen_model(*changed, "--diff").stdout
    subprocess.run(["patch", "-p0", "-s", "-d", str(out)], input=text, text=True, check=True)
    assert gen_model(*changed, "--check").exit_code == 0


def test_a_dry_run_tells_what_writing_then_does(nets, tmp_path):
    out = tmp_path / "out"
    gen_model(nets / "a.yaml", "-o", out)
    (out / "a" / "graph.dot").unlink()
    (out / "a" / "config.pbtxt").write_text("")
    runs = [json.loads(gen_model(nets / "a.yaml", *how, "-o", out, "--format", "json").stdout)["specs"][0]["files"]
            for how in (["--dry-run"], [], ["--dry-run"])]  # fmt: skip
    dry, wrote, after = runs
    assert dry == wrote
    states = {Path(file["path"]).name: file["status"] for file in dry}
    assert states.pop("graph.dot") == "new"
    assert states.pop("config.pbtxt") == "changed"
    assert set(states.values()) == {file["status"] for file in after} == {"unchanged"}
    for file in after:
        assert Path(file["path"]).stat().st_size == file["bytes"]


def test_what_is_unchanged_is_not_written_again(nets, tmp_path):
    gen_model(nets, "-o", tmp_path / "out")
    before = {path: path.stat().st_ino for path in (tmp_path / "out").rglob("*.*")}
    result = gen_model(nets, "-o", tmp_path / "out")
    assert f"{tmp_path / 'out' / 'a'}: 13 files, 13 unchanged\n" in result.output
    assert {path: path.stat().st_ino for path in (tmp_path / "out").rglob("*.*")} == before


@pytest.mark.parametrize("given", ["", "*.yaml", "?.yaml", "**/*.yaml"])
def test_a_folder_or_a_quoted_glob_stands_for_its_specs(nets, given):
    printed = json.loads(gen_model(nets / given, "--explain", "--format", "json").stdout)
    assert [spec["name"] for spec in printed["specs"]] == ["a", "b", "c"]


def test_specs_come_in_the_order_given_each_once(nets):
    paths = [nets / "c.yaml", nets, nets / "[ab].yaml"]
    printed = json.loads(gen_model(*paths, "--explain", "--format", "json").stdout)
    assert [spec["name"] for spec in printed["specs"]] == ["c", "a", "b"]


def test_a_glob_or_folder_of_nothing_is_refused(nets, tmp_path):
    assert str(gen_model(nets / "*.yml").exception) == f"{nets / '*.yml'}: matches no file"
    (tmp_path / "empty").mkdir()
    said = str(gen_model(tmp_path / "empty").exception)
    assert said == f"{tmp_path / 'empty'}: a folder without a spec: it holds no .yaml or .yml file"


def test_every_override_is_echoed(nets, tmp_path):
    result = gen_model(
        nets / "a.yaml", "--set", "rnn.window=8", "--set", "rnn.widths=[4, 4]", "--set", "loss=every",
        "--set", "solver.clip_gradients=5", "--set", "head.tied=false", "--dry-run",
    )  # fmt: skip
    assert result.stderr.splitlines() == [
        "rnn.window: 2 -> 8",
        "rnn.widths: [4] -> [4, 4]",
        "loss: last -> every",
        "solver.clip_gradients: null -> 5.0",
        "head.tied: false -> false",
    ]
    result = gen_model(nets, "--set", "fnn.bought=2", "--set", "fnn.widths=[3]", "--explain")
    assert f"{nets / 'b.yaml'}: fnn.bought: absent -> 2" in result.stderr.splitlines()


def test_explain_counts_as_inspect_does(root):
    for path in sorted((root / "arch_specs").glob("*.yaml")):
        printed = json.loads(gen_model(path, "--explain", "--format", "json").stdout)["specs"][0]
        folder = root / "generated" / path.stem
        if not folder.is_dir():
            continue
        train, deploy = (inspect_file(folder / f"{name}.prototxt").as_json() for name in ("train_val", "deploy"))
        assert printed["parameters"] == train["parameters"]
        assert printed["totals"]["flop_per_sample"] == deploy["totals"]["flop_per_sample"]
        onnx = inspect_file(folder / "loss.onnxtxt").as_json()
        assert printed["totals"]["values"] == onnx["totals"]["values"]


def test_explain_names_every_parameter_of_the_net(root):
    """Each parameter stands in an equation, and an equation reads nothing that is no parameter."""
    name = re.compile(r"\b(?:page|bought|hidden|fnn|output|projection|skip)\w*_(?:embedding|bias|weight)\b")
    for path in sorted((root / "arch_specs").glob("*.yaml")):
        printed = json.loads(gen_model(path, "--explain", "--format", "json").stdout)["specs"][0]
        text = " ".join(each["equation"] for each in printed["equations"])
        assert set(name.findall(text)) == {parameter["name"] for parameter in printed["parameters"]}, path


def test_processes_give_what_one_process_gives(nets, tmp_path):
    for number in range(7):
        (nets / f"n{number}.yaml").write_text(RNN.format(name=f"n{number}"))
    specs = [load_spec(path) for path in sorted(nets.iterdir())]
    job = Job()
    assert each(job.files, specs, enough=2) == [job.files(spec) for spec in specs]


def test_an_error_in_another_process_is_told_as_one_here(nets, tmp_path):
    (tmp_path / "own" / "onnx").mkdir(parents=True)
    (tmp_path / "own" / "onnx" / "loss.j2").write_text("\n{{ nothing }}")
    specs = [load_spec(path) for path in sorted(nets.iterdir())]
    with pytest.raises(TemplateError, match=r"onnx/loss\.j2:2: 'nothing' is undefined"):
        each(Job(templates=tmp_path / "own").files, specs, enough=2)
