"""The one editor of ONNX graphs: what differentiates, converts or rewrites a graph does it through here."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from graphlib import TopologicalSorter
from itertools import count
from typing import Any

import numpy as np
from onnx import AttributeProto, ModelProto, NodeProto, ValueInfoProto, helper, numpy_helper

__all__ = ["GraphEditor", "attributes_of", "reads_of"]


def attributes_of(node: NodeProto) -> dict[str, Any]:
    """Return the attributes of a node by name; text comes as bytes."""
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def reads_of(node: NodeProto) -> list[str]:
    """Return the names a node reads: its inputs, and what the bodies of If, Loop and Scan read of the graph around."""
    names = [name for name in node.input if name]
    for attribute in node.attribute:
        bodies = [attribute.g] if attribute.type == AttributeProto.GRAPH else attribute.graphs
        names += [name for body in bodies for inner in body.node for name in reads_of(inner)]
        names += [output.name for body in bodies for output in body.output]
    return names


class GraphEditor:
    """A copy of a graph, whose nodes may be searched, added, rewired and dropped in any order.

    Parameters
    ----------
    model
        The graph; it stays as it is.
    taken
        Names that no new tensor may have, beside those of the graph.

    Examples
    --------
    >>> graph = GraphEditor(model)
    >>> for node in graph.of("Sign"):
    ...     graph.swap(node, "Clip", [node.input[0], graph.constant(0.0, "low", np.float32)])
    >>> graph.model()
    """

    def __init__(self, model: ModelProto, taken: Iterable[str] = ()) -> None:
        self._model = ModelProto()
        # Weights may be large: they are copied once, into what `model` returns.
        self._initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        for field, value in model.ListFields():
            if field.name != "graph":
                _copy(self._model, field.name, value)
        for field, value in model.graph.ListFields():
            if field.name not in ("node", "initializer", "value_info"):  # inferred types end where the edits begin
                _copy(self._model.graph, field.name, value)
        self._nodes: dict[int, NodeProto] = {}  # by id, in the order of adding
        self._places: dict[int, int] = {}
        self._count = count()
        self._makers: dict[str, NodeProto] = {}
        self._readers: dict[str, dict[int, NodeProto]] = {}
        self._made: dict[tuple[Any, ...], NodeProto] = {}
        self._constants: dict[tuple[Any, ...], str] = {}
        self._taken = {*taken, *self._initializers, *(info.name for info in model.graph.input)}
        for node in model.graph.node:
            self.append(node)

    # Reading.

    def of(self, op: str) -> list[NodeProto]:
        """Return the nodes of an operator, in the graph's order."""
        return [node for node in self._nodes.values() if node.op_type == op]

    def maker(self, name: str, op: str | None = None) -> NodeProto | None:
        """Return the node that makes ``name``, if its operator is ``op`` where that is given."""
        node = self._makers.get(name)
        return node if node is not None and op in (node.op_type, None) else None

    def users(self, name: str) -> list[NodeProto]:
        """Return the nodes that read ``name``, in the graph's order."""
        return sorted(self._readers.get(name, {}).values(), key=lambda node: self._places[id(node)])

    def value(self, name: str) -> Any:
        """Return the array of a constant; None if ``name`` is none."""
        return numpy_helper.to_array(self._initializers[name]) if name in self._initializers else None

    def input_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the declared shapes of the inputs; an axis of any length is 0."""
        return {info.name: _shape(info) for info in self._model.graph.input}

    def output_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the declared shapes of the outputs; an axis of any length is 0."""
        return {info.name: _shape(info) for info in self._model.graph.output}

    def initializer_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the constants."""
        return {name: tuple(tensor.dims) for name, tensor in self._initializers.items()}

    # Adding.

    def name(self, wish: str) -> str:
        """Return ``wish``, or ``wish_2``, ``wish_3`` ... where that is taken."""
        name, number = wish, 1
        while name in self._taken:
            number += 1
            name = f"{wish}_{number}"
        self._taken.add(name)
        return name

    def add(self, op: str, inputs: Sequence[str], wish: str = "", outputs: int = 1, **attributes: Any) -> list[str]:
        """Append ``op`` and return its output names, named after ``wish``; a node added before is not added twice."""
        key = (op, tuple(inputs), outputs, repr(sorted(attributes.items())))
        made = self._made.get(key)
        # A rewrite may have dropped it, or changed its inputs, since.
        if made is None or id(made) not in self._nodes or list(made.input) != list(inputs):
            wish = wish or op.lower()
            names = [self.name(wish if outputs == 1 else f"{wish}_{index}") for index in range(outputs)]
            made = self._made[key] = helper.make_node(op, list(inputs), names, **attributes)
            self._enter(made)
        return list(made.output)

    def one(self, op: str, inputs: Sequence[str], wish: str = "", **attributes: Any) -> str:
        """Append ``op`` with one output and return its name."""
        return self.add(op, inputs, wish, **attributes)[0]

    def constant(self, values: Any, wish: str = "constant", dtype: Any = np.int64) -> str:
        """Return the name of an initialiser that holds ``values``; one added before is not added twice."""
        array = np.asarray(values, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = self._constants[key] = self.name(wish)
            self.initialise(name, array)
        return self._constants[key]

    def initialise(self, name: str, array: np.ndarray[Any, Any]) -> None:
        """Add an initialiser of a given name."""
        self._taken.add(name)
        self._initializers[name] = numpy_helper.from_array(array, name)

    def joined(self, parts: Sequence[str], wish: str, axis: int = 0) -> str:
        """Return ``parts`` concatenated on ``axis``; a single part as it is."""
        return parts[0] if len(parts) == 1 else self.one("Concat", parts, wish, axis=axis)

    def append(self, node: NodeProto) -> None:
        """Append a node as it is."""
        self._enter(_clone(node))
        self._taken.update(node.output)

    def put(self, op: str, inputs: Sequence[str], output: str, domain: str = "", **attributes: Any) -> None:
        """Append ``op`` with one output of a given name."""
        self._taken.add(output)
        self._enter(helper.make_node(op, list(inputs), [output], domain=domain or None, **attributes))
        known = {opset.domain for opset in self._model.opset_import}
        if domain and domain not in known:
            self._model.opset_import.append(helper.make_opsetid(domain, 1))

    # Changing.

    def swap(self, node: NodeProto, op: str, inputs: Sequence[str], **attributes: Any) -> None:
        """Have ``op`` make the one output that ``node`` makes."""
        self.drop(node)
        self.put(op, inputs, node.output[0], **attributes)

    def drop(self, node: NodeProto) -> None:
        """Remove a node."""
        self._forget(node)
        del self._nodes[id(node)], self._places[id(node)]

    def rewire(self, node: NodeProto, *, inputs: Iterable[str] | None = None, output: str | None = None) -> None:
        """Have a node read ``inputs``, and its first result called ``output``: it may not be changed otherwise."""
        self._forget(node)
        if inputs is not None:
            node.input[:] = list(inputs)
        if output is not None:
            node.output[0] = output
        self._index(node)

    def replace(self, name: str, other: str) -> None:
        """Have the nodes that read ``name`` read ``other``."""
        for node in self.users(name):
            self.rewire(node, inputs=[other if each == name else each for each in node.input])

    def publish(self, wishes: Mapping[str, str]) -> None:
        """Name tensors (values) by the wishes (keys): rename what was added, copy what has a name to keep."""
        free = {name for node in self._made.values() if id(node) in self._nodes for name in node.output}
        renamed: dict[str, str] = {}
        for wish, name in wishes.items():
            if name in renamed or name not in free:
                self.put("Identity", [renamed.get(name, name)], wish)
            else:
                renamed[name] = wish
        for name, wish in renamed.items():
            self.replace(name, wish)
            maker = self._makers[name]
            self._forget(maker)
            maker.output[:] = [wish if each == name else each for each in maker.output]
            self._index(maker)

    # What finds a node without a walk over all of them.

    def _enter(self, node: NodeProto) -> None:
        """Add a node after the others."""
        self._nodes[id(node)] = node
        self._places[id(node)] = next(self._count)
        self._index(node)

    def _index(self, node: NodeProto) -> None:
        for name in node.output:
            self._makers[name] = node
        for name in node.input:
            self._readers.setdefault(name, {})[id(node)] = node

    def _forget(self, node: NodeProto) -> None:
        for name in node.output:
            if self._makers.get(name) is node:
                del self._makers[name]
        for name in node.input:
            self._readers[name].pop(id(node), None)

    # The graph's inputs and outputs.

    def fix(self, axis: str, size: int) -> None:
        """Give an axis of the inputs that is known by its name a size."""
        for info in self._model.graph.input:
            for dim in info.type.tensor_type.shape.dim:
                if dim.dim_param == axis:
                    dim.dim_value = size

    def reshape(self, name: str, shape: Sequence[int]) -> None:
        """Declare another shape of an input or output."""
        for info in (*self._model.graph.input, *self._model.graph.output):
            if info.name == name:
                kind = info.type.tensor_type.elem_type
                info.CopyFrom(helper.make_tensor_value_info(name, kind, list(shape)))

    def retype(self, name: str, kind: int) -> None:
        """Declare another type of the elements of an input or output."""
        for info in (*self._model.graph.input, *self._model.graph.output):
            if info.name == name:
                info.type.tensor_type.elem_type = kind

    def declare_input(self, info: ValueInfoProto) -> str:
        """Add an input; return its name."""
        self._model.graph.input.append(info)
        self._taken.add(info.name)
        return str(info.name)

    def declare_outputs(self, outputs: Iterable[ValueInfoProto]) -> None:
        """Let the graph's outputs be these."""
        infos = [_clone(info) for info in outputs]
        del self._model.graph.output[:]
        self._model.graph.output.extend(infos)

    def keep_outputs(self, *names: str) -> None:
        """Leave the outputs of these names alone."""
        self.declare_outputs([info for info in self._model.graph.output if info.name in names])

    def model(self) -> ModelProto:
        """Return the graph: the nodes and constants that lead to an output, each node after those it reads.

        A node is named after its first output.
        """
        result: ModelProto = _clone(self._model)
        nodes = self._needed()
        read = {name for node in nodes for name in reads_of(node)} | {info.name for info in result.graph.output}
        result.graph.node.extend(nodes)
        for node in result.graph.node:
            node.name = next(filter(None, node.output))
        result.graph.initializer.extend(tensor for name, tensor in self._initializers.items() if name in read)
        return result

    def _needed(self) -> list[NodeProto]:
        """Return the nodes that lead to an output, in the order of adding as far as each comes after those it reads."""
        nodes = list(self._nodes.values())
        makers = {name: place for place, node in enumerate(nodes) for name in node.output}
        reads: dict[int, list[int]] = {}
        waiting = [makers[info.name] for info in self._model.graph.output if info.name in makers]
        while waiting:
            place = waiting.pop()
            if place not in reads:
                reads[place] = [makers[name] for name in reads_of(nodes[place]) if name in makers]
                waiting += reads[place]
        sorter = TopologicalSorter(reads)
        sorter.prepare()
        ordered, ready = [], list(sorter.get_ready())
        heapq.heapify(ready)
        while ready:
            place = heapq.heappop(ready)
            ordered.append(nodes[place])
            sorter.done(place)
            for each in sorter.get_ready():
                heapq.heappush(ready, each)
        return ordered


def _clone(message: Any) -> Any:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def _copy(message: Any, field: str, value: Any) -> None:
    """Set a field, repeated or not, to a copy of ``value``."""
    if hasattr(value, "CopyFrom"):
        getattr(message, field).CopyFrom(value)
    elif isinstance(value, (str, bytes, int, float)):
        setattr(message, field, value)
    else:
        getattr(message, field).extend(value)


def _shape(info: ValueInfoProto) -> tuple[int, ...]:
    return tuple(dim.dim_value for dim in info.type.tensor_type.shape.dim)
