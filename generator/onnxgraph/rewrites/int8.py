"""The output layer in 8 bits: a quarter of the memory that an answer reads, which is what large N costs.

Pattern: a Gemm whose weight, a constant, has a row for each class of ``probability``.

Invariant: the same outputs, to the rounding of weights and activations to 8 bits; a row does not depend on the others.
"""

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from generator.errors import ModelError
from generator.onnxgraph.graph import GraphEditor

__all__ = ["with_int8_output"]

BLOCK = 32  # weights that share a scale
INT8_PRODUCT = 4  # MatMulNBits' accuracy_level: activations in 8 bits too, by row, so rows do not depend on each other
DOMAIN = "com.microsoft"


def with_int8_output(model: ModelProto) -> ModelProto:
    """Return a model whose output layers multiply in 8 bits (onnxruntime's MatMulNBits).

    Parameters
    ----------
    model
        An inference model of drn. A layer whose weight has a row for each of the N+1 items becomes MatMulNBits and Add;
        a table that is also looked up (a tied head) stays beside it for the lookup. Others are left as they are.
    """
    graph = GraphEditor(model)
    shapes = graph.initializer_shapes()
    # With slots the scores are not as many as the probabilities.
    (classes,) = shapes.get("output_bias", graph.output_shapes()["probability"][-1:])
    for layer in graph.of("Gemm"):
        weight = layer.input[1]
        rows, columns = shapes.get(weight, (0, 0))
        if rows != classes:
            continue
        names = [f"{weight}_int8", f"{weight}_scale"]
        if names[0] not in graph.initializer_shapes():
            levels, scale = _quantised(graph.value(weight))
            graph.initialise(names[0], levels)
            graph.initialise(names[1], scale)
        sizes = {"K": columns, "N": rows, "bits": 8, "block_size": BLOCK, "accuracy_level": INT8_PRODUCT}
        inputs = [layer.input[0], *names]
        if len(layer.input) > 2:
            product = graph.name(f"{layer.output[0]}_product")
            graph.put("MatMulNBits", inputs, product, DOMAIN, **sizes)
            graph.swap(layer, "Add", [product, layer.input[2]])
        else:
            graph.drop(layer)
            graph.put("MatMulNBits", inputs, layer.output[0], DOMAIN, **sizes)
    return graph.model()


def _quantised(weight: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return (N+1, blocks, BLOCK) levels around 128 and (N+1, blocks) scales of an (N+1, K) weight."""
    if not np.isfinite(weight).all():
        raise ModelError("the output layer holds numbers that are not finite: train again with a smaller base_lr")
    rows, columns = weight.shape
    blocks = -(-columns // BLOCK)
    padded = np.zeros((rows, blocks * BLOCK), np.float32)
    padded[:, :columns] = weight
    padded = padded.reshape(rows, blocks, BLOCK)
    scale = np.abs(padded).max(axis=2) / np.float32(127)
    levels = np.rint(padded / np.where(scale, scale, 1)[..., None]) + 128
    return levels.astype(np.uint8), scale
