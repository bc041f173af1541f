"""A trained model as ONNX for other runtimes."""

from pathlib import Path

from generator.codegen.render import render_net
from generator.export.trained import Trained
from generator.files import check_output

__all__ = ["export_onnx"]


def export_onnx(run: Path, path: Path, *, int32: bool = False) -> None:
    """Write the newest model of a run as this version generates it; past 2 GiB in two files.

    The answers are those of model.onnx, to the bit in onnxruntime.

    Parameters
    ----------
    run
        A run.
    path
        The file.
    int32
        Whether ids, in and out, are of 32 bits.

    Raises
    ------
    ModelError
        The run holds no model.
    DataError
        ``path`` is the model itself.
    """
    from generator.onnxgraph.initialise import read_weights, save
    from generator.onnxgraph.parse import parameter_shapes, parse
    from generator.onnxgraph.rewrites.int32_ids import with_int32_ids

    trained = Trained.of(run)
    check_output(path, trained.file)
    model = parse(render_net(trained.spec, "onnx/model.onnxtxt.j2"), "model.onnxtxt")
    weights = read_weights(trained.file, list(parameter_shapes(model)))
    save(with_int32_ids(model) if int32 else model, path, weights)
