"""``drn inspect``: what a model file or folder holds."""

import sys
from pathlib import Path

import click

from generator.console import err, print_json
from generator.heartbeat import working
from generator.options import Exit, format_option

__all__ = ["command"]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--draw", "picture", type=click.Path(path_type=Path), metavar="OUT.svg|png|dot", help="Draw the net.")
@format_option
def command(path: Path, picture: Path | None, output_format: str) -> None:
    """Explain PATH: a net or solver prototxt, a caffemodel, a solverstate, an ONNX file, a run or generated folder.

    Layers with their shapes, parameters with size, sharing and factors, and the work for one sample. In a folder,
    files that do not hold are listed and the exit status is 1.

    \b
    Example:
      drn inspect generated/combined
      drn inspect runs/shop/snapshots/shop_iter_2000.caffemodel --format json
      drn inspect generated/rnn/deploy.prototxt --draw rnn.svg
    """
    from generator.files import check_output
    from generator.inspect.folder import inspect
    from generator.inspect.text import report_text

    if picture:
        check_output(picture, path)
    with working(f"inspect {path}"):
        report = inspect(path)
        if picture:
            from generator.inspect.draw import draw

            draw(report, picture)
    if picture:
        err.print(f"drawn: {picture}", markup=False)
    if output_format == "json":
        print_json(report.as_json())
    else:
        click.echo(report_text(report))
    if report.problems:
        sys.exit(Exit.PROBLEM)
