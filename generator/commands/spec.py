"""`drn spec`: the spec that fits a log."""

from pathlib import Path
from typing import Any

import click

from generator.commands.fit import fit_options
from generator.console import err

__all__ = ["command"]


@click.command("spec", context_settings={"help_option_names": ["-h", "--help"]})
@fit_options
@click.option(
    "-o", "--output", "file", type=click.Path(dir_okay=False, path_type=Path), help="YAML file. [default: stdout]"
)
def command(*, logs: tuple[str, ...], file: Path | None, **options: Any) -> None:
    """Write the spec of a net that fits a log, each field with its reason.

    What was understood of the log is said on stderr, and what is a guess, with the option that overrules it. gen-model
    and drn sessions take the spec; drn fit chooses, trains and compares as well.

    \b
    Example:
      drn spec clicks.csv -o clicks.yaml
      gen-model clicks.yaml
    """
    from generator.api.fits import spec_for
    from generator.data.log.words import logs_and_words
    from generator.files import check_output, write_text

    logs, words = logs_and_words(logs, options.pop("events"))
    if file:
        check_output(file, *map(Path, logs))
    text = spec_for(
        list(logs),
        note=lambda text: err.print(text, markup=False),
        log_format=options.pop("form"),
        events=words,
        test=list(options.pop("tests")),
        **options,
    )
    if file is None:
        click.echo(text, nl=False)
    else:
        write_text(file, text)
