"""A gradient graph rewritten to take less time: fewer passes over large tensors, fewer nodes, the same results.

The generated graphs are written to be read. Before onnxruntime runs one, `quicken` applies the rewrites below: each
looks for one pattern, and leaves alone what does not fit it.
"""

import math

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper

from generator.onnxgraph.nodes import Nodes

__all__ = ["quicken"]

# Elements from which on a matrix is turned.
LARGE = 1 << 18
# Slope of a step from 0 to 1: of the numbers above 0 only denormal ones are not 1 after it.
STEEP = 3e38


def quicken(model: ModelProto, rows: int, large: int = LARGE) -> ModelProto:
    """Return a graph that computes what ``model`` does, to rounding, on batches of ``rows`` rows.

    Parameters
    ----------
    model
        A float32 graph of `differentiate`.
    rows
        B: with it onnxruntime knows every shape, plans the memory once, and reuses it in place.
    large
        Elements from which on a matrix with more rows than columns may be turned.

    Returns
    -------
    ModelProto
        The same inputs and outputs; but a large matrix that products alone read is its own transpose, as its input's
        shape tells, and so is its gradient.
    """
    graph = Nodes(model)
    graph.fix("B", rows)
    for rewrite in (
        _skip_unlabelled,
        _step,
        _add_in_product,
        _scale_small_side,
        _sum_in_product,
    ):
        rewrite(graph)
    _turn(graph, large)
    return graph.model()


def _skip_unlabelled(graph: Nodes) -> None:
    """Compute the output of the labelled states alone, where each state has a label: 0 counts for nothing."""
    shapes = graph.shapes()
    for error in graph.of("ScatterElements"):
        softmax, place = graph.maker(error.input[0], "Softmax"), graph.maker(error.input[1], "Unsqueeze")
        logit = graph.maker(softmax.input[0], "Gemm") if softmax else None
        if logit is None or place is None or len(shapes["label"]) != 2 or not _is_vector(graph, logit.input[-1]):
            continue
        state, weight = logit.input[:2]
        few, label, labels = graph.name(), place.input[0], graph.name()
        graph.replace(label, labels)
        kept = graph.add("Reshape", [graph.add("NonZero", [label]), graph.constant([-1], np.int64)])
        graph.add("Gather", [label, kept], labels)
        graph.add("Gather", [state, kept], few)
        logit.input[0] = few
        for product in graph.users(graph.users(error.output[0])[0].output[0]):
            if product.op_type == "Gemm" and product.input[1] == state:
                product.input[1] = few
            elif product.op_type == "Gemm":
                table = graph.maker(weight, "Gather")  # of a sampled softmax
                width = shapes[table.input[0] if table else weight][1]
                _give_back(graph, product, kept, (math.prod(shapes["label"]), width))


def _is_vector(graph: Nodes, bias: str) -> bool:
    """Whether a bias is one for all rows: an input, or for a sampled softmax one that is added to some of another."""
    offset = graph.maker(bias, "Add")
    return any(len(graph.shapes().get(name, ())) == 1 for name in (offset.input if offset else [bias]))


def _give_back(graph: Nodes, product: NodeProto, kept: str, shape: tuple[int, int]) -> None:
    """Put the rows of a product at the places ``kept``, between rows of zeros."""
    whole = product.output[0]
    product.output[0] = graph.name()
    place = graph.add("Unsqueeze", [kept, graph.constant([-1], np.int64)])
    graph.add("ScatterND", [graph.constant(np.zeros(shape), np.float32), place, product.output[0]], whole)


def _other(node: NodeProto, name: str) -> str:
    """Return the input of a node with two that is not ``name``."""
    return node.input[1] if node.input[0] == name else node.input[0]


def _step(graph: Nodes) -> None:
    """Sign of a ReLU's output is a HardSigmoid so steep that it is a step: five times as fast in onnxruntime."""
    for sign in graph.of("Sign"):
        if graph.maker(sign.input[0], "Relu"):
            graph.drop(sign)
            graph.add("HardSigmoid", [sign.input[0]], sign.output[0], alpha=STEEP, beta=0.0)


def _sum_in_product(graph: Nodes) -> None:
    """Make a vector's gradient, a sum of rows, the product of ones with them: ten times as fast in onnxruntime."""
    vectors = {f"{name}_grad" for name, shape in graph.shapes().items() if len(shape) == 1}
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    for total in graph.of("ReduceSum"):
        if total.output[0] in vectors and _sums_rows(graph, total):
            graph.drop(total)
            rows = graph.add("Shape", [total.input[0]], start=0, end=1)
            ones = graph.add("ConstantOfShape", [rows], value=one)  # made once, where onnxruntime knows the shape
            graph.add("MatMul", [ones, total.input[0]], total.output[0])


def _sums_rows(graph: Nodes, node: NodeProto) -> bool:
    """Whether a ReduceSum is over the first axis alone, and drops it."""
    return (
        len(node.input) == 2
        and np.array_equal(graph.value(node.input[1]), [0])
        and graph.attributes(node) == {"keepdims": 0}
    )


def _add_in_product(graph: Nodes) -> None:
    """Gemm, then Sum: Gemm adds by itself."""
    for total in graph.of("Sum"):
        for name in total.input:
            product = graph.maker(name, "Gemm")
            if len(total.input) == 2 and product and len(product.input) == 2 and graph.users(name) == [total]:
                graph.drop(total)
                product.input.append(_other(total, name))
                product.output[0] = total.output[0]
                break


def _scale_small_side(graph: Nodes) -> None:
    """Scale what a product with the error of the softmax has beside it, or gives, rather than the error itself."""
    for scaled in graph.of("Mul"):
        error, weight = scaled.input
        users = graph.users(scaled.output[0])
        if not graph.maker(error, "ScatterElements") or not all(
            _scales(graph, scaled.output[0], user) for user in users
        ):
            continue
        for user in users:
            graph.drop(user)
            if user.op_type == "ReduceSum":
                # A row on the left: the product reads the error as it lies.
                row = graph.add("Reshape", [weight, graph.constant([-1], np.int64)])
                graph.add("MatMul", [row, error], user.output[0])
            elif user.input[0] == scaled.output[0] and not user.attribute:
                small = graph.add("Gemm", [error, user.input[1]])
                graph.add("Mul", [small, weight], user.output[0])
            else:
                small = graph.add("Mul", [user.input[1], weight])
                graph.add("Gemm", [error, small], user.output[0], transA=1)


def _scales(graph: Nodes, scaled: str, user: NodeProto) -> bool:
    """Whether ``user`` is a sum over the rows, or a product of which ``scaled`` (rows, classes) is the left side."""
    if user.op_type == "ReduceSum":
        return _sums_rows(graph, user)
    return (
        user.op_type == "Gemm"
        and list(user.input).index(scaled) == 0
        and len(user.input) == 2
        and graph.attributes(user) in ({}, {"transA": 1})
    )


def _turn(graph: Nodes, large: int) -> None:
    """Have the output's weights as their transpose: the three products with them then read memory in order."""
    for name, shape in graph.shapes().items():
        users, gradient = graph.users(name), graph.maker(f"{name}_grad", "Gemm")
        if len(shape) != 2 or shape[0] * shape[1] < large or shape[0] <= shape[1] or gradient is None:
            continue
        reads = [node for node in users if node.op_type == "Gemm" and list(node.input).index(name) == 1]
        known = all(graph.attributes(node) in ({}, {"transB": 1}) for node in reads)
        if (
            len(reads) != len(users)
            or not known
            or graph.attributes(gradient) != {"transA": 1}
            or len(gradient.input) != 2
        ):
            continue
        for node in reads:
            turned = {} if graph.attributes(node) else {"transB": 1}
            graph.drop(node)
            graph.add("Gemm", node.input, node.output[0], **turned)
        graph.drop(gradient)
        left = graph.add("Transpose", [gradient.input[1]], perm=[1, 0])
        graph.add("Gemm", [left, gradient.input[0]], gradient.output[0])
        graph.reshape(name, shape[::-1])
        graph.reshape(gradient.output[0], shape[::-1])
