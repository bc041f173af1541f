"""``drn import``: a Caffe deploy net and its weights as one ONNX file."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from generator.console import out, print_json
from generator.heartbeat import working
from generator.options import format_option

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["command", "import_net"]


def import_net(deploy: Path, caffemodel: Path, top_k: int | None = None) -> "ModelProto":
    """Convert a deploy net and its weights, written by drn or by Caffe, to an ONNX model with the weights inside.

    Parameters
    ----------
    deploy : the prototxt
    caffemodel : the weights; layers that the net lacks are passed over
    top_k : as `generator.onnxgraph.from_caffe.convert` takes it

    Raises
    ------
    ModelError
        A file does not hold, a layer or setting is not known, a weight is missing, has another shape or is
        not finite: with file, line, layer and blob.
    """
    from generator.caffe.caffemodel import read_caffemodel
    from generator.caffe.shapes import batch_first, infer
    from generator.caffe.source import Prototxt
    from generator.caffe.weights_file import check_finite
    from generator.onnxgraph.from_caffe import convert, require_known

    source = Prototxt.read(deploy)
    places = source.places("TEST")
    require_known(source.net, places)
    shapes = infer(source, "TEST")
    batch_first(source, shapes)
    # All shapes are known: there is no data layer.
    blobs, parameters = (
        {name: shape for name, shape in each.items() if shape is not None} for each in (shapes.blobs, shapes.parameters)
    )
    weights = read_caffemodel(caffemodel, source.net, parameters)
    check_finite(caffemodel, weights)
    return convert(source.net, blobs, weights, places, top_k)


@click.command("import", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("deploy", type=click.Path(path_type=Path))
@click.argument("caffemodel", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The ONNX file to write.")
@click.option(
    "--top-k", type=click.IntRange(1), help="Also give the top K items (never index 0) from inside the graph."
)
@format_option
def command(deploy: Path, caffemodel: Path, output: Path, top_k: int | None, output_format: str) -> None:
    """Convert a Caffe deploy net with its weights to ONNX (opset 18), layer by layer.

    Ids become int64 inputs, the batch size is free. A layer type or a setting that drn does not know is refused with
    file and line, and nothing is written.

    \b
    Example:
      drn import deploy.prototxt runs/shop/snapshots/shop_iter_2000.caffemodel -o shop.onnx --top-k 20
    """
    from generator.files import check_output
    from generator.onnxgraph.initialise import save

    check_output(output, deploy, caffemodel)
    with working(f"import {caffemodel}"):
        model = import_net(deploy, caffemodel, top_k)
        save(model, output)
    inputs, outputs = ([info.name for info in each] for each in (model.graph.input, model.graph.output))
    if output_format == "json":
        print_json({"model": str(output), "inputs": inputs, "outputs": outputs, "nodes": len(model.graph.node)})
    else:
        out.print(f"{output}: {', '.join(inputs)} -> {', '.join(outputs)}, {len(model.graph.node)} nodes", markup=False)
