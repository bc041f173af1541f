"""Cut an inference graph in two around the scores of the items, so that only some of them need be computed.

Pattern: ``probability`` made from one Softmax, of the sum of Gemms whose weights, constants, have a row for each class
(``transB``), and of a bias; with slots, the Softmax of a part of it, padded. Between the Softmax and ``probability``
items are found by their ids alone, as indices of ScatterElements and GatherElements.

Invariant: the first graph gives what the Gemms read and what else the second wants; the second, fed with the softmax of
some items and with ids counted among them, gives these items the probabilities that the whole graph does.
"""

from collections.abc import Iterator
from typing import NamedTuple

from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from generator.onnxgraph.graph import GraphEditor, attributes_of, reads_of
from generator.onnxgraph.rewrites.outputs import up_to

__all__ = ["PatternError", "SplitGraph", "split_at_softmax"]

BY_ID = ("ScatterElements", "GatherElements")


class PatternError(Exception):
    """A graph that is not of the pattern."""


class SplitGraph(NamedTuple):
    """An inference graph in two parts.

    Attributes
    ----------
    head
        From the blobs to the outputs ``queries``, ``bias`` and those of ``ids`` and ``others`` that are no blobs.
    tail
        From ``scored``, float32 (B, C), ``ids`` and ``others`` to ``probability``, float32 (B, C).
    queries, weights
        What each Gemm reads, and the constant it is multiplied by, a row a class.
    bias
        The scores of all classes without the Gemms, (classes,); no blob changes it.
    scored
        The softmax of the items.
    ids
        Tensors of ids of items: the tail reads them counted among the items scored.
    others
        Whatever else the tail reads.
    """

    head: ModelProto
    tail: ModelProto
    queries: list[str]
    weights: list[str]
    bias: str
    scored: str
    ids: list[str]
    others: list[str]


def split_at_softmax(model: ModelProto) -> SplitGraph:
    """Return ``model`` in two parts; PatternError where it is not of the pattern."""
    graph = GraphEditor(up_to(model, "probability"))
    softmax = graph.of("Softmax")
    if len(softmax) != 1:
        raise PatternError(f"{len(softmax)} Softmax lead to its probabilities")
    scores = softmax[0].input[0]
    if (parts := graph.maker(scores, "Split")) is not None and parts.output[0] == scores:
        scores = parts.input[0]
    layers = list(_layers(graph, scores))
    if not layers:
        raise PatternError("no Gemm of a constant makes its scores")
    scored = softmax[0].output[0]
    if [node.op_type for node in graph.users(scored)] == ["Pad"]:
        scored = graph.users(scored)[0].output[0]
    below = _below(graph, scored)
    ids, others = _read_beside(graph, below, scored)
    queries, weights = [layer.input[0] for layer in layers], [layer.input[1] for layer in layers]
    bias = layers[-1].input[2]
    blobs = graph.input_shapes()
    wanted = [*queries, bias, *(name for name in (*ids, *others) if name not in blobs)]
    return SplitGraph(
        _head(model, wanted), _tail(model, below, [scored, *ids, *others]), queries, weights, bias, scored, ids, others
    )


def _layers(graph: GraphEditor, scores: str) -> Iterator[NodeProto]:
    """Yield the Gemms whose sum, with the bias of the last, are the scores."""
    while (layer := graph.maker(scores, "Gemm")) is not None:
        plain = attributes_of(layer).items() <= {"transB": 1, "alpha": 1.0, "beta": 1.0}.items()
        if not plain or len(layer.input) != 3 or layer.input[1] not in graph.initializer_shapes():
            return
        yield layer
        scores = layer.input[2]


def _below(graph: GraphEditor, scored: str) -> list[NodeProto]:
    """Return the nodes that what is read from ``scored`` goes through."""
    found: dict[int, NodeProto] = {}
    waiting = [scored]
    while waiting:
        for node in graph.users(waiting.pop()):
            if id(node) not in found:
                found[id(node)] = node
                waiting += node.output
    return list(found.values())


def _read_beside(graph: GraphEditor, below: list[NodeProto], scored: str) -> tuple[list[str], list[str]]:
    """Return what else the nodes below ``scored`` read, but for constants: ids of items, and others."""
    made = {scored, *(name for node in below for name in node.output)}
    constants = graph.initializer_shapes()
    ids = {node.input[1]: None for node in below if node.op_type in BY_ID and node.input[0] in made}
    read = {name: None for node in below for name in reads_of(node) if name not in made and name not in constants}
    return [name for name in read if name in ids], [name for name in read if name not in ids]


def _head(model: ModelProto, wanted: list[str]) -> ModelProto:
    """Return the part that leads to the tensors wanted, whose types a runtime infers."""
    graph = GraphEditor(model)
    graph.declare_outputs(ValueInfoProto(name=name) for name in dict.fromkeys(wanted))
    return graph.model()


def _tail(model: ModelProto, below: list[NodeProto], given: list[str]) -> ModelProto:
    """Return the part that makes ``probability`` of the tensors given, whose types are yet to be declared."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    # In the order of the whole graph, where each node stands after those it reads.
    outputs = {node.output[0] for node in below}
    nodes = [node for node in model.graph.node if node.output and node.output[0] in outputs]
    read = {name for node in nodes for name in reads_of(node)}
    made = helper.make_graph(
        nodes,
        "tail",
        [ValueInfoProto(name=name) for name in given],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, None)],
        [tensor for name, tensor in constants.items() if name in read],
    )
    return helper.make_model(made, opset_imports=model.opset_import, ir_version=model.ir_version)
