"""A gradient graph that makes Caffe's update too: from weights and histories to those after it.

The rules are those of `generator.training.engine.solver`, to rounding, and move every row of a table at every update,
as Caffe does: what `LazyRows` reaches in closed form.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from generator.caffe.schema import Message
from generator.onnxgraph.graph import GraphEditor
from generator.training.engine.dense_group import UpdateFactors

__all__ = [
    "RATE",
    "SQUARES",
    "Update",
    "accumulate_graph",
    "earlier_rows",
    "histories",
    "sum_of",
    "update_graph",
    "updated",
]

# The inputs and outputs that are no parameters: the rate of the update, and the squared norm of all gradients.
RATE, SQUARES = "rate", "gradient_squares"
# What keeps a norm of 0 from being divided by.
TINY = float(np.finfo(np.float32).tiny)
ZERO = helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0])


@dataclass(frozen=True)
class Update:
    """How one parameter is updated.

    Attributes
    ----------
    name, shape
        Of the parameter.
    factors
        lr_mult and decay.
    by_rows
        Whether rows without a gradient, and their histories, stay as they are: Adam's lazy form.
    """

    name: str
    shape: tuple[int, ...]
    factors: UpdateFactors
    by_rows: bool = False


def histories(name: str, count: int) -> list[str]:
    """Return the names of a parameter's histories."""
    return [f"{name}_history{number}" for number in range(1, count + 1)]


def updated(name: str) -> str:
    """Return the name of a parameter, a history or a sum after a run."""
    return f"{name}_updated"


def sum_of(name: str) -> str:
    """Return the name of the sum of a parameter's gradients of the batches of an update before this one."""
    return f"{name}_grad_sum"


def earlier_rows(name: str, batches: int) -> list[str]:
    """Return the names of the row ids of a parameter's gradients in the batches of an update before this one."""
    return [f"{name}_grad_rows{number}" for number in range(1, batches)]


def accumulate_graph(model: ModelProto, updates: Sequence[Update]) -> ModelProto:
    """Return the graph of a batch that others of the same update follow: it adds its gradients to their sums.

    Parameters
    ----------
    model
        A gradient graph, of whose parameters those that ``lr_mult`` 0 freezes have no gradient.
    updates
        Of the parameters.

    Returns
    -------
    ModelProto
        Inputs are those of ``model`` and the sums, `sum_of`; outputs ``loss``, the sums with the batch, and the ids
        NAME_grad_rows of the parameters that are updated by rows.
    """
    graph = GraphEditor(model)
    gradients = _Gradients(graph, model, summed=True)
    sums = {sum_of(each.name): gradients.whole(each) for each in updates if gradients.has(each.name)}
    kept = {"loss", *(f"{each.name}_grad_rows" for each in updates if each.by_rows)}
    outputs = [info for info in model.graph.output if info.name in kept]
    _finish(graph, outputs, sums, {sum_of(each.name): each.shape for each in updates})
    return graph.model()


def update_graph(model: ModelProto, updates: Sequence[Update], solver: Message) -> ModelProto:
    """Return the graph of an update's last batch: its loss, and the parameters and histories after the update.

    Parameters
    ----------
    model, updates
        As of `accumulate_graph`.
    solver
        Caffe's SolverParameter.

    Returns
    -------
    ModelProto
        Inputs are those of ``model``, `RATE` (for Adam times its correction), the histories, and with ``iter_size``
        above 1 the sums and `earlier_rows`; outputs ``loss``, `SQUARES` where gradients are clipped, and parameters and
        histories, `updated`.
    """
    graph = GraphEditor(model)
    rule = _Rule(graph, _Gradients(graph, model, summed=solver.iter_size > 1), solver)
    rule.scale(updates)
    shapes: dict[str, tuple[int, ...]] = {}
    results: dict[str, str] = {}
    for update in updates:
        made = rule.apply(update)
        names = [update.name, *histories(update.name, len(made) - 1)]
        shapes |= dict.fromkeys(names, update.shape)
        results |= dict(zip(names, made, strict=True))
    outputs = [info for info in model.graph.output if info.name == "loss"]
    if rule.squares:
        graph.publish({SQUARES: rule.squares})
        outputs.append(helper.make_tensor_value_info(SQUARES, TensorProto.FLOAT, []))
    _finish(graph, outputs, results, shapes)
    return graph.model()


def _finish(
    graph: GraphEditor, outputs: list[ValueInfoProto], results: dict[str, str], shapes: dict[str, tuple[int, ...]]
) -> None:
    """Have the graph give ``outputs``, and the tensors ``results`` by the names they are read by in the next run."""
    graph.publish({updated(name): made for name, made in results.items()})
    made = [helper.make_tensor_value_info(updated(name), TensorProto.FLOAT, shapes[name]) for name in results]
    graph.declare_outputs([*outputs, *made])


class _Rows(NamedTuple):
    """Some rows of a parameter, with repeats: their ids, and a row for each."""

    ids: str
    values: str


class _Parts(NamedTuple):
    """A gradient as the graph has it: a whole one, rows of one, or the sum of both; of a frozen parameter nothing."""

    whole: str | None = None
    rows: _Rows | None = None


class _Gradients:
    """The gradients of a graph; where batches are ``summed``, with those of the batches before."""

    def __init__(self, graph: GraphEditor, model: ModelProto, *, summed: bool) -> None:
        self._graph, self._summed = graph, summed
        self._outputs = {info.name for info in model.graph.output}
        self._whole: dict[str, str] = {}

    def has(self, name: str) -> bool:
        """Whether a parameter has a gradient."""
        return bool({f"{name}_grad", f"{name}_grad_rows"} & self._outputs)

    def parts(self, name: str) -> _Parts:
        """Return the gradient of this batch."""
        whole, ids, values = (f"{name}_grad{kind}" for kind in ("", "_rows", "_values"))
        return _Parts(whole if whole in self._outputs else None, _Rows(ids, values) if ids in self._outputs else None)

    def whole(self, update: Update) -> str:
        """Return the gradient of the update so far in the parameter's shape; zeros if there is none."""
        if update.name not in self._whole:
            self._whole[update.name] = self._total(update)
        return self._whole[update.name]

    def _total(self, update: Update) -> str:
        parts = self.parts(update.name)
        total = parts.whole
        if self._summed and self.has(update.name):
            before = self._graph.declare_input(_floats(sum_of(update.name), update.shape))
            total = before if total is None else self._graph.one("Add", [before, total], sum_of(update.name))
        total = total or self.zeros(update)
        return total if parts.rows is None else self.scatter(total, parts.rows, update, reduction="add")

    def zeros(self, update: Update) -> str:
        """Return zeros in the parameter's shape."""
        shape = self._graph.constant(update.shape, f"{update.name}_shape")
        return self._graph.one("ConstantOfShape", [shape], "no_gradient", value=ZERO)

    def scatter(self, base: str, rows: _Rows, update: Update, **reduction: str) -> str:
        """Return ``base`` with rows written or added to it; ScatterElements has a thread a number, ScatterND a row."""
        place = rows.ids
        if len(update.shape) == 2:
            column = self._graph.one("Unsqueeze", [place, self._graph.constant([-1])], "row_place")
            place = self._graph.one("Expand", [column, self._graph.constant([1, update.shape[1]])], "number_place")
        return self._graph.one("ScatterElements", [base, place, rows.values], "scattered", axis=0, **reduction)


class _Rule:
    """One of Caffe's update rules as nodes of a graph.

    Attributes
    ----------
    squares
        The squared norm of all gradients, where they are clipped; after `scale`.
    """

    def __init__(self, graph: GraphEditor, gradients: _Gradients, solver: Message) -> None:
        self._graph, self._gradients, self._solver = graph, gradients, solver
        self._rate = graph.declare_input(_floats(RATE, ()))
        self._scale: str | None = None
        self.squares: str | None = None
        self._count = 2 if solver.type == "Adam" else 1
        # Rows may be added to a momentum as they are, unless their sum is asked for.
        self._parts = solver.type in ("SGD", "Nesterov") and solver.clip_gradients < 0 and solver.iter_size == 1

    def scale(self, updates: Iterable[Update]) -> None:
        """Find what every gradient is multiplied by: the common bound of their norm, over ``iter_size``."""
        clip, batches = self._solver.clip_gradients, self._solver.iter_size
        if batches > 1:
            self._scale = self._number(1 / batches)
        if clip < 0:
            return
        squares = [self._squares(each) for each in updates if self._gradients.has(each.name)]
        self.squares = self._graph.one("Sum", squares, SQUARES)
        norm = self._graph.one("Sqrt", [self.squares], "gradient_norm")
        bound = self._graph.one("Max", [norm, self._number(max(clip, TINY))], "gradient_bound")
        factor = self._graph.one("Div", [self._number(clip), bound], "clip_factor")
        self._scale = self._times(factor, self._scale)

    def apply(self, update: Update) -> list[str]:
        """Return the parameter and its histories after the update."""
        graph, name = self._graph, update.name
        state = [name, *(graph.declare_input(_floats(each, update.shape)) for each in histories(name, self._count))]
        if not update.by_rows:
            return self._moved(update, state, self._gradient(update))
        ids = [
            graph.declare_input(helper.make_tensor_value_info(each, TensorProto.INT64, None))
            for each in earlier_rows(name, self._solver.iter_size)
        ]
        rows = graph.joined([*ids, f"{name}_grad_rows"], f"{name}_touched")
        gradient = _Parts(graph.one("Gather", [self._gradients.whole(update), rows], f"{name}_grad_touched"))
        old = [graph.one("Gather", [each, rows], f"{each}_touched") for each in state]
        new = self._moved(update, old, gradient)
        # A row that comes twice is written twice, the same both times.
        return [
            self._gradients.scatter(whole, _Rows(rows, part), update) for whole, part in zip(state, new, strict=True)
        ]

    def _gradient(self, update: Update) -> _Parts:
        if not self._gradients.has(update.name):
            return _Parts()
        return self._gradients.parts(update.name) if self._parts else _Parts(self._gradients.whole(update))

    def _moved(self, update: Update, state: Sequence[str], gradient: _Parts) -> list[str]:
        """Return weight and histories, or some of their rows, after the update."""
        rate = self._times(self._rate, update.factors.lr)
        weight, *history = state
        if self._solver.type in ("SGD", "Nesterov"):
            return self._by_momentum(update, weight, history[0], gradient, rate)
        whole = self._decayed(update, weight, gradient)
        return self._by_squares(weight, history, whole, rate)

    def _by_momentum(self, update: Update, weight: str, history: str, gradient: _Parts, rate: str) -> list[str]:
        """SGD: v = m v + lr g, w -= v; Nesterov: v' = m v + lr g, w -= (1 + m) v' - m v."""
        graph, momentum = self._graph, self._solver.momentum
        faded = self._times(history, momentum)
        moved, factor = faded, self._times(rate, self._scale)
        if gradient.whole:
            moved = graph.one("Add", [moved, self._times(gradient.whole, factor)], "momentum")
        if gradient.rows:
            scaled = gradient.rows._replace(values=self._times(gradient.rows.values, factor))
            moved = self._gradients.scatter(moved, scaled, update, reduction="add")
        if update.factors.decay and update.factors.lr:
            decay = self._times(weight, self._times(rate, update.factors.decay))
            moved = graph.one("Add", [moved, decay], "momentum")
        step = moved
        if self._solver.type == "Nesterov":
            step = graph.one("Sub", [self._times(moved, 1 + momentum), faded], "step")
        return [graph.one("Sub", [weight, step], "weight"), moved]

    def _decayed(self, update: Update, weight: str, gradient: _Parts) -> str:
        """Return the gradient, scaled, with the weight decay."""
        found = self._times(gradient.whole, self._scale) if gradient.whole else None
        if not update.factors.decay:
            return found or self._gradients.zeros(update)
        decay = self._times(weight, update.factors.decay)
        return self._graph.one("Add", [found, decay], "decayed") if found else decay

    def _by_squares(self, weight: str, history: Sequence[str], gradient: str, rate: str) -> list[str]:
        """AdaGrad: v += g², w -= lr g / (√v + δ); Adam the same of means: m of g in place of it, v of g²."""
        graph, solver = self._graph, self._solver
        square, first = graph.one("Mul", [gradient, gradient], "square"), gradient
        second = history[-1]
        if solver.type == "Adam":
            first = self._mean(history[0], gradient, solver.momentum)
            second = self._mean(second, square, solver.momentum2)
        else:
            second = graph.one("Add", [second, square], "squares")
        root = graph.one("Add", [graph.one("Sqrt", [second], "root"), self._number(solver.delta)], "root")
        step = self._times(graph.one("Div", [first, root], "step"), rate)
        moved = graph.one("Sub", [weight, step], "weight")
        return [moved, first, second] if solver.type == "Adam" else [moved, second]

    def _mean(self, mean: str, value: str, share: float) -> str:
        """Return share · mean + (1 - share) · value."""
        kept = float(np.float32(share))
        return self._graph.one("Add", [self._times(mean, kept), self._times(value, 1 - kept)], "mean")

    def _squares(self, update: Update) -> str:
        """Return the sum of the squares of a gradient, of rows first: a float32 sum over millions loses digits."""
        rows, last = self._gradients.whole(update), self._graph.constant([-1])
        squares = self._graph.one("ReduceSumSquare", [rows, last], "row_squares", keepdims=0)
        return squares if len(update.shape) == 1 else self._graph.one("ReduceSum", [squares], "squares", keepdims=0)

    def _times(self, array: str, factor: str | float | None) -> str:
        """Return a product with a scalar, a tensor or a number; None and 1 change nothing."""
        if factor is None or factor == 1.0:
            return array
        return self._graph.one("Mul", [array, factor if isinstance(factor, str) else self._number(factor)], "scaled")

    def _number(self, value: float) -> str:
        return self._graph.constant(value, "number", np.float32)


def _floats(name: str, shape: tuple[int, ...]) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
