"""The output layer in 8 bits: a quarter of the memory that an answer reads, which is what large N costs."""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

__all__ = ["with_int8_output"]

BLOCK = 32  # weights that share a scale
INT8_PRODUCT = 4  # MatMulNBits' accuracy_level: activations in 8 bits too, by row, so rows do not depend on each other
DOMAIN = "com.microsoft"


def with_int8_output(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model whose output layers multiply in 8 bits (onnxruntime's MatMulNBits).

    Parameters
    ----------
    model
        An inference model of drn. A layer whose weight has a row for each of the N+1 items becomes MatMulNBits and Add;
        a table that is also looked up (a tied head) stays beside it for the lookup. Others are left as they are.
    """
    graph = model.graph
    widths = {one.name: one.type.tensor_type.shape.dim[-1].dim_value for one in graph.output}
    weights = {one.name: one for one in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    done: set[str] = set()
    for node in graph.node:
        weight = weights.get(node.input[1]) if node.op_type == "Gemm" else None
        if weight is None or weight.dims[0] != widths["probability"]:
            nodes.append(node)
            continue
        rows, columns = weight.dims
        names = [f"{weight.name}_int8", f"{weight.name}_scale"]
        if weight.name not in done:
            levels, scale = _quantised(numpy_helper.to_array(weight))
            graph.initializer.extend(
                [numpy_helper.from_array(levels, names[0]), numpy_helper.from_array(scale, names[1])]
            )
            done.add(weight.name)
        product = f"{node.output[0]}_product" if len(node.input) > 2 else node.output[0]
        multiply = helper.make_node("MatMulNBits", [node.input[0], *names], [product], product, domain=DOMAIN)
        sizes = {"K": columns, "N": rows, "bits": 8, "block_size": BLOCK, "accuracy_level": INT8_PRODUCT}
        multiply.attribute.extend(helper.make_attribute(name, value) for name, value in sizes.items())
        nodes.append(multiply)
        if len(node.input) > 2:
            nodes.append(helper.make_node("Add", [product, node.input[2]], [node.output[0]], node.name))
    used = {name for node in nodes for name in node.input}
    kept = [one for one in graph.initializer if one.name in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)
    model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    return model


def _quantised(weight: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return (N+1, blocks, BLOCK) levels around 128 and (N+1, blocks) scales of an (N+1, K) weight."""
    rows, columns = weight.shape
    blocks = -(-columns // BLOCK)
    padded = np.zeros((rows, blocks * BLOCK), np.float32)
    padded[:, :columns] = weight
    padded = padded.reshape(rows, blocks, BLOCK)
    scale = np.abs(padded).max(axis=2) / np.float32(127)
    levels = np.rint(padded / np.where(scale, scale, 1)[..., None]) + 128
    return levels.astype(np.uint8), scale
