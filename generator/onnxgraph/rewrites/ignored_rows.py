"""Leave rows whose label is ignored out of the output layer.

Pattern: where every state has a label (B, n), the logits' Gemm, Softmax and the ScatterElements that takes 1 off the
label's probability. A Gather before them keeps the rows with a label other than 0; a ScatterND behind the products that
lead back to the states puts zeros between.

Invariant: a row without a label adds nothing to the loss or to a gradient, so loss and gradients stay.
"""

import math

import numpy as np
from onnx import NodeProto

from generator.onnxgraph.graph import GraphEditor

__all__ = ["skip_ignored_rows"]


def skip_ignored_rows(graph: GraphEditor) -> None:
    """Compute the output layer for the labelled states alone."""
    shapes = graph.input_shapes()
    for error in graph.of("ScatterElements"):
        softmax, place = graph.maker(error.input[0], "Softmax"), graph.maker(error.input[1], "Unsqueeze")
        logit = graph.maker(softmax.input[0], "Gemm") if softmax else None
        if logit is None or place is None or len(shapes["label"]) != 2 or not _is_vector(graph, logit.input[-1]):
            continue
        state, weight = logit.input[:2]
        label, labels = place.input[0], graph.name("labels")
        graph.replace(label, labels)
        kept = graph.one("Reshape", [graph.one("NonZero", [label]), graph.constant([-1])], "labelled_row")
        graph.put("Gather", [label, kept], labels)
        few = graph.one("Gather", [state, kept], "labelled_state")
        graph.rewire(logit, inputs=[few, *logit.input[1:]])
        for product in graph.users(graph.users(error.output[0])[0].output[0]):
            if product.op_type == "Gemm" and product.input[1] == state:
                graph.rewire(product, inputs=[product.input[0], few, *product.input[2:]])
            elif product.op_type == "Gemm":
                table = graph.maker(weight, "Gather")  # of a sampled softmax
                width = shapes[table.input[0] if table else weight][1]
                _put_back(graph, product, kept, (math.prod(shapes["label"]), width))


def _is_vector(graph: GraphEditor, bias: str) -> bool:
    """Whether a bias is one for all rows: an input, or for a sampled softmax one that is added to some of another."""
    offset = graph.maker(bias, "Add")
    return any(len(graph.input_shapes().get(name, ())) == 1 for name in (offset.input if offset else [bias]))


def _put_back(graph: GraphEditor, product: NodeProto, kept: str, shape: tuple[int, int]) -> None:
    """Put the rows of a product at the places ``kept``, between rows of zeros."""
    whole = product.output[0]
    graph.rewire(product, output=graph.name("labelled_gradient"))
    place = graph.one("Unsqueeze", [kept, graph.constant([-1])], "labelled_place")
    zeros = graph.constant(np.zeros(shape), "no_gradient", np.float32)
    graph.put("ScatterND", [zeros, place, product.output[0]], whole)
