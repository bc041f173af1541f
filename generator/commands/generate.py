"""`gen-model`, also `drn generate`: specs in, artefacts out."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from generator.codegen.groups import ALL_GROUPS
from generator.heartbeat import working
from generator.options import Exit, format_option

if TYPE_CHECKING:
    from generator.codegen.artefacts import File
    from generator.codegen.job import Job
    from generator.spec.schema import Spec

__all__ = ["command"]


@click.command("generate", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("specs", nargs=-1, type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("generated"), show_default=True,
              help="Folder that gets one folder a spec.")  # fmt: skip
@click.option("--check", is_flag=True, help="Write nothing; exit 1 and print the diff on drift.")
@click.option("--diff", is_flag=True, help="Write nothing; print the diff from what the folder holds.")
@click.option("--dry-run", is_flag=True, help="Write nothing; list what would be written.")
@click.option("--explain", is_flag=True, help="Write nothing; say what the net computes, in words.")
@click.option("--only", help=f"Comma-separated groups of artefacts: {', '.join(ALL_GROUPS)}. [default: all]")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a field: --set rnn.window=8.")
@click.option("--init", type=click.IntRange(min=0), metavar="SEED", help="Put initial weights into model.onnx.")
@click.option("--templates", type=click.Path(path_type=Path), metavar="DIR",
              help="Folder of templates that replace drn's of the same name.")  # fmt: skip
@click.option("--rules", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE.py",
              help="Python file of gradient rules for further ONNX operators; it is run.")  # fmt: skip
@click.option("--schema", type=click.Choice(["spec", "output"]), is_flag=False, flag_value="spec",
              help="Print the JSON Schema of the spec, or of what --format json prints, and do no more.")  # fmt: skip
@format_option
def command(
    specs: tuple[Path, ...],
    output: Path,
    only: str | None,
    overrides: tuple[str, ...],
    init: int | None,
    templates: Path | None,
    rules: Path | None,
    schema: str | None,
    output_format: str,
    **flags: bool,
) -> None:
    """Generate the Caffe and ONNX artefacts of SPECS: files, globs, or folders of specs.

    Every spec becomes a folder: train_val, deploy and solver prototxt, the inference, loss and gradient graphs as
    ONNX text and binary, a Triton config, a DOT picture and a manifest. A spec that does not hold is reported with
    file, line and column, all findings at once, and nothing is written for any spec. A file that holds its content
    already is not written again.

    \b
    Example:
      gen-model arch_specs/combined.yaml
      gen-model --check arch_specs
      gen-model --explain arch_specs/rnn.yaml
      gen-model arch_specs/rnn.yaml --set rnn.window=8 --only caffe --diff
    """
    if schema:
        click.echo(json.dumps(_schema(schema), indent=2))
        return
    if not specs:
        raise click.UsageError("no spec given: gen-model SPEC.yaml…")
    mode = _mode(flags)
    from generator.codegen.job import Job
    from generator.codegen.sources import load_specs, spec_paths

    job = Job(_groups(only), init, templates, rules)
    loaded = load_specs(spec_paths(specs), overrides, lambda line: click.echo(line, err=True))
    run = {"check": _diff, "diff": _diff, "explain": _explain}.get(mode, _files)
    with working(f"generate {len(loaded):,} spec{'s' * (len(loaded) > 1)}"):
        found, lines, drift = run(job, loaded, output, mode == "dry-run")
    if output_format == "json":
        click.echo(json.dumps({"mode": mode, "specs": found}, indent=2))
    else:
        click.echo("".join(lines), nl=False)
    if drift and mode == "check":
        sys.exit(Exit.PROBLEM)


# What a mode found: by spec, for machines and for people, and whether a folder has drifted.
_Found = tuple[list[dict[str, Any]], list[str], bool]


def _schema(which: str) -> dict[str, Any]:
    if which == "spec":
        from generator.spec import json_schema

        return json_schema()
    from generator.codegen.output import output_schema

    return output_schema()


def _mode(flags: dict[str, bool]) -> str:
    modes = [name.replace("_", "-") for name, given in flags.items() if given]
    if len(modes) > 1:
        raise click.UsageError(f"--{modes[0]} and --{modes[1]} exclude each other: give one")
    return modes[0] if modes else "write"


def _groups(only: str | None) -> tuple[str, ...]:
    if only is None:
        return ALL_GROUPS
    groups = tuple(group.strip() for group in only.split(","))
    unknown = [group for group in groups if group not in ALL_GROUPS]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is not a group; groups: {', '.join(ALL_GROUPS)}", param_hint="--only")
    return groups


def _files(job: "Job", specs: "Sequence[Spec]", output: Path, dry: bool) -> _Found:
    """Write the artefacts; a dry run says what that would do."""
    from generator.codegen.artefacts import compare, write_all

    # All is generated before anything is written.
    sets = [(files, output / spec.name) for spec, files in zip(specs, job.over(job.files, specs), strict=True)]
    statuses = [compare(*each) for each in sets] if dry else write_all(sets)
    results: list[dict[str, Any]] = []
    lines: list[str] = []
    for spec, (_, folder), found in zip(specs, sets, statuses, strict=True):
        listed = [{"path": str(folder / file.name), "status": file.status, "bytes": file.bytes} for file in found]
        results.append({"name": spec.name, "folder": str(folder), "files": listed})
        if dry:
            lines += [f"{file.status:9}  {file.bytes:>9,}  {folder / file.name}\n" for file in found]
        else:
            lines.append(f"{folder}: {len(found)} files{_counts(found)}\n")
    return results, lines, False


def _counts(found: "Sequence[File]") -> str:
    """Say how many files are of which status: ``, 1 changed, 11 unchanged``."""
    states = [file.status for file in found]
    return "".join(f", {states.count(state)} {state}" for state in ("new", "changed", "unchanged") if state in states)


def _diff(job: "Job", specs: "Sequence[Spec]", output: Path, _dry: bool) -> _Found:
    from generator.codegen.artefacts import diff

    diffs = [diff(texts, output / spec.name) for spec, texts in zip(specs, job.over(job.texts, specs), strict=True)]
    results: list[dict[str, Any]] = [
        {"name": spec.name, "folder": str(output / spec.name), "drift": bool(text), "diff": text}
        for spec, text in zip(specs, diffs, strict=True)
    ]
    lines = [text or f"{output / spec.name}: up to date\n" for spec, text in zip(specs, diffs, strict=True)]
    return results, lines, any(diffs)


def _explain(job: "Job", specs: "Sequence[Spec]", _output: Path, _dry: bool) -> _Found:
    from generator.codegen.explain import explain

    found = [explain(spec, job.templates) for spec in specs]
    results = [{"name": spec.name, **each.as_json()} for spec, each in zip(specs, found, strict=True)]
    return results, ["\n\n".join(each.text() for each in found) + "\n"], False
