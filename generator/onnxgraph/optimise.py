"""A gradient graph rewritten to take less time: fewer passes over large tensors, fewer nodes, the same results.

The generated graphs are written to be read. Before onnxruntime runs one, `optimise` applies the rewrites: each looks
for one pattern, and leaves alone what does not fit it.
"""

from collections.abc import Mapping

from onnx import ModelProto

from generator.onnxgraph.graph import GraphEditor
from generator.onnxgraph.rewrites.error_scale import scale_small_side
from generator.onnxgraph.rewrites.gemm_sums import add_in_gemm
from generator.onnxgraph.rewrites.ignored_rows import skip_ignored_rows
from generator.onnxgraph.rewrites.relu_steps import step_of_relu
from generator.onnxgraph.rewrites.row_sums import sum_in_product
from generator.onnxgraph.rewrites.transposes import transpose_large

__all__ = ["REWRITES", "optimise", "optimise_fixed"]

# In the order of application: a later one meets what an earlier one leaves.
REWRITES = (
    skip_ignored_rows,
    step_of_relu,
    add_in_gemm,
    scale_small_side,
    sum_in_product,
)

# Elements from which on a matrix is transposed.
LARGE = 1 << 18


def optimise(model: ModelProto, rows: int, large: int = LARGE) -> ModelProto:
    """Return a graph that computes what ``model`` does, to rounding, on batches of ``rows`` rows.

    Parameters
    ----------
    model
        A float32 graph of `differentiate`.
    rows
        B: with it onnxruntime knows every shape, plans the memory once, and reuses it in place.
    large
        Elements from which on a matrix with more rows than columns may be transposed.

    Returns
    -------
    ModelProto
        The same inputs and outputs; but a large matrix that products alone read is its own transpose, as its input's
        shape tells, and so is its gradient.
    """
    graph = GraphEditor(model)
    graph.fix("B", rows)
    for rewrite in REWRITES:
        rewrite(graph)
    transpose_large(graph, large)
    return graph.model()


def optimise_fixed(model: ModelProto, sizes: Mapping[str, int]) -> ModelProto:
    """Return a graph that computes what ``model`` does, to rounding, in shapes that no number in a batch changes.

    An accelerator reads a matrix as fast as its transpose, and waits where the CPU must first ask it for a shape: the
    parameters stay as they are, and rows whose label is ignored are computed with the others.

    Parameters
    ----------
    model
        A float32 graph of `differentiate`.
    sizes
        Of the inputs' axes that are known by a name.
    """
    graph = GraphEditor(model)
    for axis, size in sizes.items():
        graph.fix(axis, size)
    for rewrite in REWRITES:
        if rewrite is not skip_ignored_rows:
            rewrite(graph)
    return graph.model()
