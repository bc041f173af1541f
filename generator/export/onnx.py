"""A trained model as ONNX for runtimes that know fewer operators than onnxruntime."""

from pathlib import Path

from generator.codegen.render import render_net
from generator.export.trained import Trained
from generator.files import check_output

__all__ = ["export_onnx"]


def export_onnx(run: Path, path: Path) -> None:
    """Write the newest model of a run without a scatter that adds, which MNN overwrites by; past 2 GiB in two files.

    Inputs, outputs and answers are those of model.onnx, to the bit in onnxruntime; a mixture takes some more time.

    Raises
    ------
    ModelError
        The run holds no model.
    DataError
        ``path`` is the model itself.
    """
    from generator.onnxgraph.initialise import read_weights, save
    from generator.onnxgraph.parse import parameter_shapes, parse

    trained = Trained.of(run)
    check_output(path, trained.file)
    model = parse(render_net(trained.spec, "onnx/model.onnxtxt.j2", plain=True), "model.onnxtxt")
    save(model, path, read_weights(trained.file, list(parameter_shapes(model))))
