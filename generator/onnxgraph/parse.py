"""Reading ONNX text."""

from onnx import ModelProto, checker, parser

from generator.errors import ModelError
from generator.spec.blobs import BLOBS, DRAWN

__all__ = ["parameter_shapes", "parse"]


def parse(text: str, name: str) -> ModelProto:
    """Parse and check ONNX text; a node is named after its first output, for messages and for tools that list nodes.

    Raises
    ------
    ModelError
        With the file ``name`` and, for a syntax error, the parser's line and column.
    """
    try:
        model = parser.parse_model(text)
        for node in model.graph.node:
            node.name = node.name or next(output for output in node.output if output)
        checker.check_model(model)
    except parser.ParseError as error:
        message = error.args[0]
        raise ModelError(f"{name}: {message.decode() if isinstance(message, bytes) else message}") from error
    except checker.ValidationError as error:
        raise ModelError(f"{name}: {error}") from error
    return model


def parameter_shapes(model: ModelProto) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the parameters of a generated graph, in the graph's order: of all inputs but the blobs."""
    return {
        info.name: tuple(dim.dim_value for dim in info.type.tensor_type.shape.dim)
        for info in model.graph.input
        if info.name not in (*BLOBS, *DRAWN)
    }
