"""``drn export``: a trained run for other programs."""

from pathlib import Path

import click

from generator.console import out, print_json
from generator.heartbeat import working
from generator.options import format_option

__all__ = ["command"]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--caffe",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write deploy.portable.prototxt with its weights, spec and vocabularies: for OpenCV, ncnn, MNN and others.",
)
@click.option(
    "--caffemodel",
    type=click.Choice(["all-uses"]),
    help="Write the weights as Caffe saves them, a copy for each use of a shared parameter, to -o FILE.",
)
@click.option(
    "--onnx",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the model as this version of drn generates it, for other runtimes.",
)
@click.option("--int32", is_flag=True, help="Of --onnx: ids of 32 bits in and out.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The file of --caffemodel.")
@click.option(
    "--web",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write a static page that recommends in the browser, without a server of drn's: onnxruntime-web by npm.",
)
@click.option(
    "--runtime",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Of --web: a folder with onnxruntime-web's files, in place of npm's.",
)
@click.option(
    "--items",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Of --web: file of items: item, title, category, price, image, ...; the page shows what it says.",
)
@format_option
def command(
    *,
    run: Path,
    caffe: Path | None,
    caffemodel: str | None,
    onnx: Path | None,
    int32: bool,
    output: Path | None,
    web: Path | None,
    runtime: Path | None,
    items: Path | None,
    output_format: str,
) -> None:
    """Write the newest model of a run in a form that other programs read.

    \b
    Example:
      drn export runs/shop --caffe caffe
      drn export runs/shop --caffemodel all-uses -o shop.caffemodel
      drn export runs/shop --onnx shop.onnx --int32
      drn export runs/shop --web site
    """
    if caffe is None and caffemodel is None and onnx is None and web is None:
        raise click.UsageError(
            "say what to write: --caffe DIR, --caffemodel all-uses -o FILE, --onnx FILE or --web DIR"
        )
    if (caffemodel is None) != (output is None):
        raise click.UsageError("--caffemodel all-uses and -o FILE belong together")
    if int32 and onnx is None:
        raise click.UsageError("--int32 is of --onnx FILE")
    with working(f"export {run}"):
        written, lines = _exported(run, caffe, output, onnx, int32, web, runtime, items)
    if output_format == "json":
        print_json(written)
    else:
        out.print("\n".join(lines), markup=False)


def _exported(
    run: Path,
    caffe: Path | None,
    output: Path | None,
    onnx: Path | None,
    int32: bool,
    web: Path | None,
    runtime: Path | None,
    items: Path | None,
) -> tuple[dict[str, object], list[str]]:
    """Write what is asked for; return what that is, for machines and for people."""
    from generator.export.caffe import export_caffe, export_caffemodel

    written: dict[str, object] = {}
    lines = []
    if caffe is not None:
        written["caffe"] = {"folder": str(caffe), "inputs": export_caffe(run, caffe)}
        lines.append(f"{caffe}: deploy.portable.prototxt and .caffemodel, spec.yaml, pages.txt, items.txt")
    if output is not None:
        export_caffemodel(run, output)
        written["caffemodel"] = str(output)
        lines.append(f"{output}: a copy of each parameter in every layer that uses it")
    if onnx is not None:
        from generator.export.onnx import export_onnx

        export_onnx(run, onnx, int32=int32)
        written["onnx"] = str(onnx)
        lines.append(f"{onnx}: the answers of model.onnx" + ", ids of 32 bits" * int32)
    if web is not None:
        from generator.export.web import export_web

        export_web(run, web, runtime, items)
        written["web"] = str(web)
        lines.append(f"{web}: index.html, the model and its runtime; see it by: python -m http.server -d {web}")
    return written, lines
