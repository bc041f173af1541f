"""`gen-model`, also `drn generate`: specs in, artefacts out."""

import json
import sys
from pathlib import Path

import click

from generator.codegen import ALL_GROUPS, diff, generate, generate_text, write
from generator.errors import SpecError
from generator.options import format_option
from generator.spec import Spec, load_spec

__all__ = ["command"]


@click.command("generate", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("specs", nargs=-1, type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("generated"), show_default=True,
              help="Folder that gets one folder a spec.")  # fmt: skip
@click.option("--check", is_flag=True, help="Write nothing; exit 1 and print the diff where the folder has drifted.")
@click.option("--only", help=f"Comma-separated groups of artefacts: {', '.join(ALL_GROUPS)}. [default: all]")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a field: --set rnn.window=8.")
@click.option("--init", type=click.IntRange(min=0), metavar="SEED", help="Put initial weights into model.onnx.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the spec and do nothing else.")
@format_option
def command(
    specs: tuple[Path, ...],
    output: Path,
    check: bool,
    only: str | None,
    overrides: tuple[str, ...],
    init: int | None,
    schema: bool,
    output_format: str,
) -> None:
    """Generate the Caffe and ONNX artefacts of SPECS.

    Every spec becomes a folder: train_val, deploy and solver prototxt, the inference, loss and gradient graphs as
    ONNX text and binary, a Triton config, a DOT picture and a manifest. A spec that does not hold is reported with
    file, line and column, all findings at once, and nothing is written for any spec.

    \b
    Example:
      gen-model arch_specs/combined.yaml
      gen-model --check arch_specs/*.yaml
      gen-model arch_specs/rnn.yaml --set rnn.window=8 --only caffe -o build
    """
    if schema:
        from generator.spec import json_schema

        click.echo(json.dumps(json_schema(), indent=2))
        return
    if not specs:
        raise click.UsageError("no spec given: gen-model SPEC.yaml…")
    groups = _groups(only)
    loaded = _load(specs, overrides)
    if check:
        _check(loaded, output, groups, output_format)
        return
    # All is generated before anything is written.
    files = {spec.name: generate(spec, groups, init) for spec in loaded}
    for name, content in files.items():
        write(content, output / name)
    if output_format == "json":
        made = {name: sorted(str(output / name / file) for file in content) for name, content in files.items()}
        click.echo(json.dumps(made, indent=2))
    else:
        for name, content in files.items():
            click.echo(f"{output / name}: {len(content)} files")


def _groups(only: str | None) -> tuple[str, ...]:
    if only is None:
        return ALL_GROUPS
    groups = tuple(group.strip() for group in only.split(","))
    unknown = [group for group in groups if group not in ALL_GROUPS]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is not a group; groups: {', '.join(ALL_GROUPS)}", param_hint="--only")
    return groups


def _load(paths: tuple[Path, ...], overrides: tuple[str, ...]) -> list[Spec]:
    """Load every spec, or report the findings in all of them."""
    loaded: dict[str, tuple[Spec, Path]] = {}
    findings = []
    for path in paths:
        try:
            spec = load_spec(path, overrides)
        except SpecError as error:
            findings.append(str(error))
            continue
        if spec.name in loaded:
            findings.append(f"{path}: name {spec.name} is taken by {loaded[spec.name][1]}; they would share a folder")
        loaded[spec.name] = (spec, path)
    if findings:
        raise SpecError("\n".join(findings))
    return [spec for spec, _ in loaded.values()]


def _check(specs: list[Spec], output: Path, groups: tuple[str, ...], output_format: str) -> None:
    drifted = {spec.name: diff(generate_text(spec, groups), output / spec.name) for spec in specs}
    if output_format == "json":
        click.echo(json.dumps({name: {"drift": bool(text), "diff": text} for name, text in drifted.items()}, indent=2))
    else:
        for name, text in drifted.items():
            click.echo(text or f"{output / name}: up to date\n", nl=False)
    if any(drifted.values()):
        sys.exit(1)
