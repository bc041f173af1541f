"""Reverse-mode differentiation of an ONNX graph: a loss graph in, loss and gradients out.

Plain onnxruntime has no gradient operator, so the gradient is a graph like any other. A table read by Gather gets
a sparse gradient (row ids and row values); a weight used in several columns gets one Gemm over all of them.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, shape_inference

from generator.errors import ModelError
from generator.onnxgraph.builder import Builder
from generator.onnxgraph.gradients import RULES, row_loss

__all__ = ["differentiate"]


@dataclass
class _Gradient:
    """What has been given to one tensor so far."""

    dense: list[str] = field(default_factory=list)
    rows: list[tuple[str, str]] = field(default_factory=list)
    products: list[tuple[str, str]] = field(default_factory=list)


class _Differentiation:
    """The state of one backward walk; the `Tape` that gradient rules see."""

    def __init__(self, model: ModelProto, parameters: Sequence[str]):
        graph = model.graph
        inferred = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
        self._infos = {info.name: info for info in (*inferred.input, *inferred.value_info, *inferred.output)}
        self._constants = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
        self._wanted = set(parameters)
        for node in graph.node:
            if node.op_type not in _DISCRETE and any(name in self._wanted for name in node.input):
                self._wanted.update(node.output)
        self._gradients: dict[str, _Gradient] = defaultdict(_Gradient)
        names = {*self._infos, *self._constants, *(name for node in graph.node for name in node.output)}
        names |= {f"{parameter}_grad" for parameter in parameters}  # kept for the outputs
        self.build = Builder(graph.initializer, names)
        for node in graph.node:
            if node.op_type == "SoftmaxCrossEntropyLoss":
                loss = row_loss(node, self).loss
                axes = self.build.constant([-1], "flat_shape")
                self.build.nodes.append(helper.make_node("Squeeze", [loss, axes], list(node.output)))
            else:
                self.build.nodes.append(node)

    def wants(self, name: str) -> bool:
        return name in self._wanted

    def shape(self, name: str) -> list[int | str | None]:
        if name in self._constants:
            return list(self._constants[name])
        dims = self._infos[name].type.tensor_type.shape.dim
        return [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in dims]

    def dtype(self, name: str) -> np.dtype[Any]:
        return helper.tensor_dtype_to_np_dtype(self.info(name).type.tensor_type.elem_type)

    def info(self, name: str) -> ValueInfoProto:
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
            if node.op_type not in RULES:
                known = ", ".join(sorted(RULES))
                raise ModelError(f"{node.output[0]}: operator {node.op_type} has no gradient rule; known: {known}")
            RULES[node.op_type](node, gradients, self)

    def _one(self, loss: str) -> str:
        return self.build.constant(1, f"{loss}_grad_one", self.dtype(loss))


# Operators whose result is a number of steps or a truth: no gradient passes.
_DISCRETE = frozenset({"Greater", "Equal", "Not", "Shape", "Sign", "CastLike", "Cast", "TopK"})


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
        An operator has no gradient rule, or the loss does not depend on a parameter.
    """
    graph = model.graph
    tape = _Differentiation(model, parameters)
    tape.walk(list(graph.node), loss)
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
    made = helper.make_graph(tape.build.nodes, f"{graph.name}_gradient", graph.input, outputs, tape.build.initializers)
    result = helper.make_model(made, opset_imports=model.opset_import, ir_version=model.ir_version)
    result.producer_name = model.producer_name
    return result
