"""The parameters of a net and the step that moves them: forward, backward, Caffe's update."""

import math
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import islice
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx

from generator.caffe.prototxt import Parameter, active_layers, learnable
from generator.caffe.schema import Message
from generator.caffe.solverstate import TrainingState
from generator.errors import ModelError, TrainingError
from generator.onnxgraph.optimise import optimise
from generator.onnxgraph.parse import parameter_shapes
from generator.onnxgraph.rewrites.outputs import up_to
from generator.training.engine.batches import READERS, Batch
from generator.training.engine.dense_group import DenseGroup, UpdateFactors
from generator.training.engine.exchange import Exchange
from generator.training.engine.graph import Graph
from generator.training.engine.lazy_rows import LazyRows
from generator.training.engine.solver import Array, Rule, clip_factor, learning_rate

__all__ = ["Learner"]


class Learner:
    """A net being trained.

    Parameters
    ----------
    gradient
        ``gradient.onnx``, serialised.
    net, solver
        Caffe's NetParameter and SolverParameter.
    weights
        Float32 arrays by name, in the shapes and the order of ``learnable(net)``: the tables' are updated in place, the
        others copied.
    state
        Where training stands, and the history: one array a parameter, for Adam as many again. None: at the start.
    warmup
        Updates in which the rate rises, in equal steps, to what the solver's policy says; Caffe knows none.
    lazy
        Whether Adam leaves the rows of tables alone that have no gradient, as PyTorch's SparseAdam does; Caffe's moves
        them all. ``momentum``: they are moved when they are next read, nearly to where Caffe's has them.
    threads
        Intra-op threads of onnxruntime; 0: one for each core.
    provider
        ``cpu`` or ``cuda``: where onnxruntime computes loss and gradients; the updates are made on the CPU.
    exchange
        What connects this learner with others that make every update with it, each from its rows of the batches; call
        `align` first. None: it learns alone.

    Attributes
    ----------
    weights
        The parameters by name; up to date after `flush`.
    iteration, current_step
        Where training stands, as in a solverstate.
    rate
        Learning rate of the last update.
    tables
        The parameters that are updated row by row; see `LazyRows`.
    stopped
        Whether one of the learners was asked to stop, as all know after an update.

    Raises
    ------
    ModelError
        If the gradient graph lacks the gradient of a parameter.
    TrainingError
        If the solver asks for a rule or policy drn does not have.
    """

    def __init__(
        self,
        gradient: bytes,
        net: Message,
        solver: Message,
        weights: Mapping[str, Array],
        *,
        state: TrainingState | None = None,
        warmup: int = 0,
        lazy: bool | Literal["momentum"] = False,
        threads: int = 0,
        provider: str = "cpu",
        exchange: Exchange | None = None,
    ) -> None:
        self._rule = Rule(solver, drifting=lazy == "momentum")
        self._solver, self._warmup, self._exchange, self.stopped = solver, warmup, exchange, False
        self._lazy = bool(lazy)
        self.weights = dict(weights)
        self._take_state(state)
        self.rate, _ = self._next_rate()

        rows = _batch_size(net) // (exchange.size if exchange else 1)
        parameters = learnable(net)
        model = optimise(onnx.load_from_string(gradient), rows)
        # The graph may want a matrix as its transpose; `flush` then copies it to where the weights are read.
        shapes = parameter_shapes(model)
        self._transposed = {name for name, weight in weights.items() if shapes[name] != weight.shape}
        self._written = {value.name for value in model.graph.output}
        self._frozen = {parameter.name for parameter in parameters if parameter.lr_mult == 0}
        model = _without_gradients(model, self._frozen)
        by_rows, groups = self._divide(parameters)
        self.tables = {name: self._lazy_rows(name, multipliers) for name, multipliers in by_rows.items()}
        helper = None if threads == 1 else ThreadPoolExecutor(1, thread_name_prefix="update")
        self._groups = [self._dense_group(names, multipliers, helper) for multipliers, names in groups.items()]
        self._graph = self._bind(model, threads, provider)

    def _take_state(self, state: TrainingState | None) -> None:
        """Take over iteration, step and histories, or start at 0 with histories of zeros."""
        count = len(self.weights)
        arrays = (
            [np.zeros_like(w) for w in [*self.weights.values()] * self._rule.histories]
            if state is None
            else [*state.history]
        )
        self.iteration, self.current_step = (state.iteration, state.current_step) if state else (0, 0)
        # A solverstate holds the first array of every parameter, then the second of every one.
        self._histories = {name: arrays[place::count] for place, name in enumerate(self.weights)}

    def _divide(self, parameters: list[Parameter]) -> tuple[dict[str, UpdateFactors], dict[UpdateFactors, list[str]]]:
        """Return the parameters that are updated row by row, and the others in groups of the same multipliers."""
        by_rows: dict[str, UpdateFactors] = {}
        groups: dict[UpdateFactors, list[str]] = {}
        for parameter in parameters:
            name = parameter.name
            multipliers = UpdateFactors(parameter.lr_mult, self._solver.weight_decay * parameter.decay_mult)
            dense, sparse = f"{name}_grad" in self._written, f"{name}_grad_rows" in self._written
            if not dense and not sparse:
                raise ModelError(f"the gradient graph has no output {name}_grad, the gradient of parameter {name}")
            if sparse and not dense and name in READERS and LazyRows.fits(self._rule, multipliers, lazy=self._lazy):
                by_rows[name] = multipliers
            else:
                groups.setdefault(multipliers, []).append(name)
        return by_rows, groups

    def _lazy_rows(self, name: str, multipliers: UpdateFactors) -> LazyRows:
        return LazyRows(
            _by_rows(self.weights[name]),
            [_by_rows(history) for history in self._histories[name]],
            self._rule,
            multipliers,
            iteration=self.iteration,
            iter_size=self._solver.iter_size,
        )

    def _dense_group(self, names: list[str], multipliers: UpdateFactors, helper: Executor | None) -> DenseGroup:
        """Return parameters joined in one, of which ``weights`` and the histories become parts."""

        def as_trained(name: str, array: Array) -> Array:
            return array.T if name in self._transposed else array

        group = DenseGroup(
            {name: as_trained(name, self.weights[name]) for name in names},
            [{name: as_trained(name, self._histories[name][k]) for name in names} for k in range(self._rule.histories)],
            self._rule,
            multipliers,
            iter_size=self._solver.iter_size,
            sparse={name for name in names if name in self._frozen or f"{name}_grad" not in self._written},
            helper=helper,
        )
        for name in group.weights.keys() - self._transposed:
            self.weights[name] = group.weights[name]
            self._histories[name] = [history[name] for history in group.histories]
        return group

    def _bind(self, model: onnx.ModelProto, threads: int, provider: str) -> Graph:
        """Return the graph, which reads the trained weights and writes their gradients where the groups read them."""
        trained = self.weights | {name: weight for group in self._groups for name, weight in group.weights.items()}
        graph = Graph(model.SerializeToString(), trained, threads, provider)
        for group in self._groups:
            for name in group.gradients.keys() - group.sparse:
                graph.write_to(f"{name}_grad", group.gradients[name])
        return graph

    @property
    def history(self) -> list[Array]:
        """The histories in the order of a solverstate; up to date after `flush`."""
        return [arrays[k] for k in range(self._rule.histories) for arrays in self._histories.values()]

    def step(self, batches: Iterator[Batch]) -> float:
        """Make one update from the next ``iter_size`` batches; return their mean loss.

        Raises
        ------
        TrainingError
            If the loss or the norm of the gradients is not finite; the weights have not moved then.
        """
        losses = [self._backward(batch) for batch in islice(batches, self._solver.iter_size)]
        loss = sum(losses) / len(losses)
        if self._exchange:
            loss = self._add_up(loss, self._exchange)
        self.rate, current_step = self._next_rate()
        if not math.isfinite(loss) or not math.isfinite(self.rate):
            raise self._diverged(f"the loss is {loss}")
        parameters = self._parameters()
        if self._exchange:
            for parameter in parameters:
                parameter.all_reduce(self._exchange)
        scale = 1.0
        if self._solver.clip_gradients >= 0:
            squares = sum(parameter.squares() for parameter in parameters)
            if not math.isfinite(squares):
                raise self._diverged(f"the norm of the gradients is {math.sqrt(squares)}")
            scale = clip_factor(squares, self._solver.clip_gradients)
        for parameter in parameters:
            parameter.update(self.iteration, self.rate, scale / self._solver.iter_size)
        self.iteration, self.current_step = self.iteration + 1, current_step
        return loss

    def align(self) -> None:
        """Take over where the first of the learners stands: before the first update, at the same time as they."""
        if not self._exchange:
            return
        position = np.array([self.iteration, self.current_step])
        self._exchange.broadcast(position)
        self.iteration, self.current_step = map(int, position)
        for parameter in self._parameters():
            parameter.broadcast(self._exchange)

    def flush(self) -> None:
        """Bring every row of every table up to date: before the weights are read as a whole."""
        for table in self.tables.values():
            table.flush(self.iteration, self._past_rate())
        for group in self._groups:
            for name in group.weights.keys() & self._transposed:
                self.weights[name][...] = group.weights[name].T
                for whole, history in zip(self._histories[name], group.histories, strict=True):
                    whole[...] = history[name].T

    def restore(self, table: str, parts: Mapping[str, npt.NDArray[Any]]) -> None:
        """Put the rows of a table back to where `flush` brought them from; see `LazyRows.restore`."""
        self.tables[table].restore(parts, self.iteration, self._past_rate())

    def check_finite(self) -> None:
        """Raise TrainingError if a weight is not finite: before the weights are written."""
        for name, weight in self.weights.items():
            if not np.isfinite(weight).all():
                raise self._diverged(f"parameter {name} holds numbers that are not finite")

    def _next_rate(self) -> tuple[float, int]:
        """Return the rate of the update to come, warm-up included, and Caffe's ``current_step`` after it."""
        return self._rate(self.iteration)

    def _rate(self, iteration: int) -> tuple[float, int]:
        rate, current_step = learning_rate(self._solver, iteration, self.current_step)
        return rate * min(1.0, (iteration + 1) / max(1, self._warmup)), current_step

    def _past_rate(self) -> float:
        """Return the rate of the last update, as a resumed run knows it too; 0 where no rule asks for it."""
        return self._rate(self.iteration - 1)[0] if self._lazy and self.iteration else 0.0

    def _parameters(self) -> list[DenseGroup | LazyRows]:
        return [*self._groups, *self.tables.values()]

    def _add_up(self, loss: float, exchange: Exchange) -> float:
        """Return the loss of all learners' rows, and find out whether one of them is to stop."""
        sums = np.array([loss, exchange.stopping])
        exchange.all_reduce(sums)
        self.stopped = bool(sums[1])
        return float(sums[0])

    def _backward(self, batch: Batch) -> float:
        """Add the gradient of one batch, or of this learner's rows; return its loss, or what they add to it."""
        for name, table in self.tables.items():
            table.catch_up(batch.ids[name], self.iteration, self._past_rate())
        shard, share = self._exchange.shard(batch) if self._exchange else (batch, 1.0)
        outputs = self._graph.run(shard.blobs)
        rows = {
            name: (ids, _by_rows(outputs[f"{name}_grad_values"]))
            for name in self.weights
            if (ids := outputs.get(f"{name}_grad_rows")) is not None
        }
        for name in self.tables.keys() - self._frozen:
            self.tables[name].add(rows[name], batch.ids[name], share)
        for group in self._groups:
            group.add({name: rows[name] for name in rows.keys() & group.weights.keys()}, share)
        return float(outputs["loss"]) * share

    def _diverged(self, what: str) -> TrainingError:
        clip = self._solver.clip_gradients
        remedy = f"set clip_gradients below {clip:g}" if clip >= 0 else "set clip_gradients (5 is common)"
        return TrainingError(
            f"iteration {self.iteration}: {what} at learning rate {self.rate:g}. Most likely the rate is too high: "
            f"lower solver.base_lr or {remedy}. No weights were written since the last snapshot"
        )


def _without_gradients(model: onnx.ModelProto, frozen: AbstractSet[str]) -> onnx.ModelProto:
    """Return a graph without the gradients of parameters whose lr_mult is 0.

    Caffe's ``Net::Init`` leaves their gradient at 0: they are out of the clip norm and, but for weight decay, out of
    AdaGrad's and Adam's history. What momentum they have goes on moving them.
    """
    unwanted = {f"{name}_grad{kind}" for name in frozen for kind in ("", "_rows", "_values")}
    return up_to(model, *(value.name for value in model.graph.output if value.name not in unwanted))


def _by_rows(array: Array) -> Array:
    """Return a view of two axes: a number of a vector, such as the output's bias, is a row too."""
    return array.reshape(len(array), -1)


def _batch_size(net: Message) -> int:
    """Return the rows of a batch of the net's TRAIN phase."""
    return next(int(layer.hdf5_data_param.batch_size) for layer in active_layers(net) if layer.type == "HDF5Data")
