"""Reverse-mode differentiation of an ONNX graph: a loss graph in, loss and gradients out.

Plain onnxruntime has no gradient operator, so the gradient is a graph like any other. A table read by Gather gets
a sparse gradient (row ids and row values); a weight used in several columns gets one Gemm over all of them.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, shape_inference

from generator.errors import ModelError
from generator.onnxgraph.gradients import FLOATS, OPSET, RULES, row_loss
from generator.onnxgraph.graph import GraphEditor, reads_of

__all__ = ["STEPS", "differentiate"]

# Operators whose result is constant between its jumps, so that the gradient is 0 almost everywhere. So is that of any
# operator whose result is whole numbers or truths, such as Greater, ArgMax, or Cast to int64: their type tells.
STEPS = frozenset({"Ceil", "Floor", "Round", "Sign"})


@dataclass
class _Gradient:
    """What has been given to one tensor so far."""

    dense: list[str] = field(default_factory=list)
    rows: list[tuple[str, str]] = field(default_factory=list)
    products: list[tuple[str, str]] = field(default_factory=list)


class _Differentiation:
    """The state of one backward walk; the `Tape` that gradient rules see."""

    def __init__(self, model: ModelProto, parameters: Sequence[str]):
        graph, self._model = model.graph, model
        inferred = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
        self._infos = {info.name: info for info in (*inferred.input, *inferred.value_info, *inferred.output)}
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._wanted = set(parameters)
        for node in graph.node:
            if any(name in self._wanted for name in _carriers(node)):
                self._wanted.update(name for name in node.output if self._has_derivative(name))
        self._gradients: dict[str, _Gradient] = defaultdict(_Gradient)
        bare = ModelProto()
        bare.CopyFrom(model)
        del bare.graph.node[:]
        bare.graph.name = f"{graph.name}_gradient"
        names = {*self._infos, *(name for node in graph.node for name in node.output)}
        names |= {f"{parameter}_grad" for parameter in parameters}  # kept for the outputs
        self.build = GraphEditor(bare, names)
        for node in graph.node:
            if node.op_type == "SoftmaxCrossEntropyLoss" and self.wants(node.output[0]):
                with _named(node):
                    loss = row_loss(node, self).loss
                self.build.put("Squeeze", [loss, self.build.constant([-1], "flat_shape")], node.output[0])
            else:
                self.build.append(node)

    @cached_property
    def _numbered(self) -> dict[str, ValueInfoProto]:
        """The infos by name, inferred with a number in place of the first symbol, B: multiples of it are then known."""
        graph = shape_inference.infer_shapes(_numbered(self._model), data_prop=True).graph
        return {info.name: info for info in (*graph.input, *graph.value_info)}

    def wants(self, name: str) -> bool:
        return name in self._wanted

    def _has_derivative(self, name: str) -> bool:
        """Whether ``name`` may have one: it is no tensor of whole numbers or truths."""
        kind = self._infos[name].type if name in self._infos else None
        # Of what is no tensor, or of unknown type, the walk finds out that no rule is there. So of text, from which a
        # Cast may lead back to numbers.
        if kind is None or not kind.tensor_type.elem_type:
            return bool(name)
        return kind.tensor_type.elem_type in {*FLOATS, TensorProto.STRING}

    def shape(self, name: str) -> list[int | str | None]:
        if name in self._constants:
            return list(self._constants[name].dims)
        return _sizes(self.info(name))

    def sizes(self, name: str) -> list[int | str | None]:
        if name in self._constants:
            return list(self._constants[name].dims)
        return _sizes(self._numbered.get(name) or self.info(name))

    def kind(self, name: str) -> int:
        if name in self._constants:
            return self._constants[name].data_type
        return self.info(name).type.tensor_type.elem_type

    def dtype(self, name: str) -> np.dtype[Any]:
        return helper.tensor_dtype_to_np_dtype(self.kind(name))

    def info(self, name: str) -> ValueInfoProto:
        if name not in self._infos:
            raise NotImplementedError(f"the type of {name} is unknown")
        return self._infos[name]

    def give(self, name: str, gradient: str) -> None:
        if self.wants(name):
            self._gradients[name].dense.append(gradient)

    def give_rows(self, name: str, rows: str, values: str) -> None:
        if self.wants(name):
            self._gradients[name].rows.append((rows, values))

    def give_product(self, name: str, left: str, right: str) -> None:
        if self.wants(name):
            self._gradients[name].products.append((left, right))

    def dense(self, name: str) -> str | None:
        """Return the whole gradient of ``name``, or None where the loss does not depend on it."""
        base = self.without_rows(name)
        if not self._gradients[name].rows:
            return base
        rows, values = self.sparse(name)
        base = base or self.build.one("Sub", [name, name], f"{name}_grad_zero")
        place = self.build.one("Unsqueeze", [rows, self.build.constant([-1], "flat_shape")], f"{name}_grad_place")
        return self.build.one("ScatterND", [base, place, values], f"{name}_grad_dense", reduction="add")

    def without_rows(self, name: str) -> str | None:
        """Return the part of the gradient of ``name`` that is not given as rows; None where there is none."""
        given = self._gradients[name]
        parts = list(given.dense)
        if given.products:
            # One Gemm over all columns: (sum over columns of leftᵀ·right) = concat(left)ᵀ·concat(right).
            left = self.build.joined([left for left, _ in given.products], f"{name}_grad_left")
            right = self.build.joined([right for _, right in given.products], f"{name}_grad_right")
            parts.append(self.build.one("Gemm", [left, right], f"{name}_grad_product", transA=1))
        if not parts:
            return None
        return parts[0] if len(parts) == 1 else self.build.one("Sum", parts, f"{name}_grad_total")

    def has_rows(self, name: str) -> bool:
        """Whether ``name`` was read by Gather."""
        return bool(self._gradients[name].rows)

    def sparse(self, name: str) -> tuple[str, str]:
        """Return the row ids and the row values of the gradient of a table."""
        given = self._gradients[name].rows
        rows = self.build.joined([rows for rows, _ in given], f"{name}_grad_ids")
        return rows, self.build.joined([values for _, values in given], f"{name}_grad_parts")

    def walk(self, nodes: Sequence[NodeProto], loss: str) -> None:
        """Run the rules backwards from ``loss``, whose gradient is 1."""
        self._gradients[loss].dense.append(self.build.one("Identity", [self._one(loss)], f"{loss}_grad"))
        for node in reversed(nodes):
            if not any(self.wants(name) for name in node.output):
                continue
            gradients = [self.dense(name) if self.wants(name) else None for name in node.output]
            if all(gradient is None for gradient in gradients):
                continue
            operator = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
            if operator not in RULES:
                known = ", ".join(sorted(RULES))
                raise ModelError(f"{_name(node)}: operator {operator} has no gradient rule; known: {known}")
            with _named(node):
                RULES[operator](node, gradients, self)

    def _one(self, loss: str) -> str:
        return self.build.constant(1, f"{loss}_grad_one", self.dtype(loss))


def _sizes(info: ValueInfoProto) -> list[int | str | None]:
    kind = info.type.tensor_type
    if not kind.HasField("shape"):
        raise NotImplementedError(f"the shape of {info.name} is unknown")
    return [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in kind.shape.dim]


def _numbered(model: ModelProto) -> ModelProto:
    """Return a copy whose inputs have a prime in place of their first symbol, and of which nothing else is declared."""
    copy = ModelProto()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]
    for info in copy.graph.output:
        info.type.tensor_type.ClearField("shape")
    dims = [dim for info in copy.graph.input for dim in info.type.tensor_type.shape.dim]
    first = next((dim.dim_param for dim in dims if dim.dim_param), None)
    for dim in dims:
        if first is not None and dim.dim_param == first:
            dim.dim_value = 97
    return copy


def _carriers(node: NodeProto) -> list[str]:
    """Return what a node reads whose numbers its result depends on, but for jumps."""
    if node.domain in ("", "ai.onnx"):
        if node.op_type in STEPS:
            return []
        if node.op_type == "CastLike":
            return list(node.input[:1])
    return reads_of(node)


def _name(node: NodeProto) -> str:
    """Return what a node is known by in messages: its first result."""
    return next(filter(None, [*node.output, node.name]), node.op_type)


@contextmanager
def _named(node: NodeProto) -> Iterator[None]:
    """Put the node's name before what its rule refuses; a user's rule may fail in any way."""
    try:
        yield
    except ModelError:
        raise
    except NotImplementedError as error:
        raise ModelError(f"{_name(node)}: {error}") from error
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise ModelError(f"{_name(node)}: the gradient rule of {node.op_type} fails: {said}") from error


def differentiate(model: ModelProto, loss: str, parameters: Sequence[str]) -> ModelProto:
    """Return a graph that computes ``loss`` and its gradients by ``parameters``.

    Parameters
    ----------
    model
        A graph whose inputs include ``parameters`` and whose output ``loss`` is a scalar.
    loss
        Name of the scalar output to differentiate.
    parameters
        Names of graph inputs, in the order in which the gradients shall stand.

    Returns
    -------
    ModelProto
        The same inputs; outputs ``loss``, then for each parameter ``<p>_grad`` with its shape; or, for a table that
        Gather reads, ``<p>_grad_rows`` int64 (R) and ``<p>_grad_values`` (R, ...): the gradient is the sum of the
        values by row, and a row may stand in the list more than once. A table that other operators read too has all
        three, and its gradient is their sum: a graph that adds rows itself would copy the table to do so, and
        onnxruntime's ScatterND loses sums where two threads add to one row.

    Raises
    ------
    ModelError
        An operator on the way has no gradient rule, or its rule does not cover the node's setting: with the node's
        first result. The loss does not depend on a parameter. The graph is not of opset 18. Its shapes do not fit.
    """
    versions = {opset.domain: opset.version for opset in model.opset_import}
    if versions.get("", versions.get("ai.onnx")) != OPSET:
        raise ModelError(f"gradient rules are those of opset {OPSET}, not of {versions}; let the graph import that")
    try:
        tape = _Differentiation(model, parameters)
    except shape_inference.InferenceError as error:
        raise ModelError(str(error)) from error
    tape.walk(list(model.graph.node), loss)
    outputs = [tape.info(loss)]
    wishes = {}
    for name in parameters:
        kind = tape.info(name).type.tensor_type.elem_type
        gradient = tape.without_rows(name)
        if gradient is not None:
            wishes[f"{name}_grad"] = gradient
            outputs.append(helper.make_tensor_value_info(f"{name}_grad", kind, tape.shape(name)))
        if tape.has_rows(name):
            rows, values = f"{name}_grad_rows", f"{name}_grad_values"
            wishes[rows], wishes[values] = tape.sparse(name)
            outputs.append(helper.make_tensor_value_info(rows, TensorProto.INT64, [f"{name}_R"]))
            outputs.append(helper.make_tensor_value_info(values, kind, [f"{name}_R", *tape.shape(name)[1:]]))
        elif gradient is None:
            raise ModelError(f"{loss} does not depend on parameter {name}")
    tape.build.publish(wishes)
    tape.build.declare_outputs(outputs)
    return tape.build.model()
