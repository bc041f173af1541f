"""The parameters of a net and the step that moves them: forward, backward, Caffe's update."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import islice

import numpy as np
import onnx

from generator.caffe.prototxt import active_layers, learnable
from generator.caffe.schema import Message
from generator.caffe.solverstate import State
from generator.errors import ModelError, TrainingError
from generator.onnxgraph.optimise import optimise
from generator.onnxgraph.parse import parameter_shapes
from generator.train.batches import READERS, Batch
from generator.train.exchange import Exchange
from generator.train.graphs import Graph
from generator.train.parameters import Dense, Multipliers
from generator.train.solver import Array, Rule, clip_factor, learning_rate
from generator.train.tables import Table

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
    threads
        Intra-op threads of onnxruntime; 0: one for each core.
    provider
        ``cpu`` or ``cuda``: where onnxruntime computes loss and gradients; the updates are made on the CPU.
    exchange
        What connects this learner with others that make every update with it, each from its rows of the batches; call
        `align` first. None: it learns alone.

    Attributes
    ----------
    weights, history
        The parameters, and the history as in a solverstate; up to date after `flush`.
    iteration, current_step
        Where training stands, as in a solverstate.
    rate
        Learning rate of the last update.
    tables
        The embedding tables that are updated row by row; see `Table`.
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
        state: State | None = None,
        warmup: int = 0,
        threads: int = 0,
        provider: str = "cpu",
        exchange: Exchange | None = None,
    ) -> None:
        rule = Rule(solver)
        optimised = optimise(onnx.load_from_string(gradient), _batch_size(net) // (exchange.size if exchange else 1))
        outputs = {value.name for value in optimised.graph.output}
        self.weights = dict(weights)
        state = state or State(0, "", [np.zeros_like(w) for _ in range(rule.histories) for w in weights.values()], 0)
        self.history = list(state.history)
        self.iteration, self.current_step = state.iteration, state.current_step
        self._solver, self._warmup, self._exchange, self.stopped = solver, warmup, exchange, False
        self.rate, _ = self._rate(solver)
        self.tables: dict[str, Table] = {}
        groups: dict[Multipliers, list[str]] = {}
        for place, parameter in enumerate(learnable(net)):
            name = parameter.name
            multipliers = Multipliers(parameter.lr_mult, solver.weight_decay * parameter.decay_mult)
            written, rows = (f"{name}_grad" in outputs, f"{name}_grad_rows" in outputs)
            if not written and not rows:
                raise ModelError(f"the gradient graph has no output {name}_grad, the gradient of parameter {name}")
            if rows and not written and name in READERS and Table.fits(rule, multipliers):
                mine = self.history[place :: len(weights)]
                self.tables[name] = Table(
                    _by_rows(weights[name]),
                    [_by_rows(history) for history in mine],
                    rule,
                    multipliers,
                    iteration=self.iteration,
                    iter_size=solver.iter_size,
                )
            else:
                groups.setdefault(multipliers, []).append(name)
        # The graph may want a matrix as its transpose; `flush` then copies it to where the weights are read.
        shapes = parameter_shapes(optimised)
        self._turned = [name for name, weight in weights.items() if shapes[name] != weight.shape]
        helper = None if threads == 1 else ThreadPoolExecutor(1, thread_name_prefix="update")
        self._dense = [self._join(names, rule, multipliers, outputs, helper) for multipliers, names in groups.items()]
        trained = self.weights | {name: weight for dense in self._dense for name, weight in dense.weights.items()}
        self._graph = Graph(optimised.SerializeToString(), trained, threads, provider)
        for dense in self._dense:
            for name in dense.gradients.keys() - dense.sparse:
                self._graph.write_to(f"{name}_grad", dense.gradients[name])

    def _join(
        self,
        names: Sequence[str],
        rule: Rule,
        multipliers: Multipliers,
        outputs: Collection[str],
        helper: Executor | None,
    ) -> Dense:
        """Return parameters as one, and let ``weights`` and ``history`` be its parts."""
        places = {name: place for place, name in enumerate(self.weights) if name in names}
        count = len(self.weights)

        def turned(arrays: Mapping[str, Array]) -> dict[str, Array]:
            return {name: array.T if name in self._turned else array for name, array in arrays.items()}

        dense = Dense(
            turned({name: self.weights[name] for name in names}),
            [turned({n: self.history[k * count + places[n]] for n in names}) for k in range(rule.histories)],
            rule,
            multipliers,
            iter_size=self._solver.iter_size,
            sparse={name for name in names if f"{name}_grad" not in outputs},
            helper=helper,
        )
        for name in names:
            if name not in self._turned:
                self.weights[name] = dense.weights[name]
                for k, history in enumerate(dense.histories):
                    self.history[k * count + places[name]] = history[name]
        return dense

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
            told = np.array([loss, self._exchange.stopping])
            self._exchange.total(told)
            loss, self.stopped = float(told[0]), bool(told[1])
        self.rate, current_step = self._rate(self._solver)
        if not math.isfinite(loss):
            raise self._diverged(f"the loss is {loss}")
        parameters = self._parameters()
        if self._exchange:
            for parameter in parameters:
                parameter.total(self._exchange)
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
        stands = np.array([self.iteration, self.current_step])
        self._exchange.copy(stands)
        self.iteration, self.current_step = map(int, stands)
        for parameter in self._parameters():
            parameter.align(self._exchange)

    def flush(self) -> None:
        """Bring every row of every table up to date: before the weights are read as a whole."""
        for table in self.tables.values():
            table.flush(self.iteration)
        places = {name: place for place, name in enumerate(self.weights)}
        for dense in self._dense:
            for name in dense.weights.keys() & self._turned:
                self.weights[name][...] = dense.weights[name].T
                for k, history in enumerate(dense.histories):
                    self.history[k * len(places) + places[name]][...] = history[name].T

    def check_finite(self) -> None:
        """Raise TrainingError if a weight is not finite: before the weights are written."""
        for name, weight in self.weights.items():
            if not np.isfinite(weight).all():
                raise self._diverged(f"parameter {name} holds numbers that are not finite")

    def _rate(self, solver: Message) -> tuple[float, int]:
        """Return the rate of the update to come, warm-up included, and Caffe's ``current_step`` after it."""
        rate, current_step = learning_rate(solver, self.iteration, self.current_step)
        return rate * min(1.0, (self.iteration + 1) / max(1, self._warmup)), current_step

    def _parameters(self) -> list[Dense | Table]:
        return [*self._dense, *self.tables.values()]

    def _backward(self, batch: Batch) -> float:
        """Add the gradient of one batch, or of this learner's rows; return its loss, or what they add to it."""
        for name, table in self.tables.items():
            table.settle(batch.ids[name], self.iteration)
        part, share = self._exchange.part(batch) if self._exchange else (batch, 1.0)
        outputs = self._graph.run(part.blobs)
        rows = {
            name: (ids, _by_rows(outputs[f"{name}_grad_values"]))
            for name in self.weights
            if (ids := outputs.get(f"{name}_grad_rows")) is not None
        }
        for name, table in self.tables.items():
            table.add(rows[name], batch.ids[name], share)
        for dense in self._dense:
            dense.add({name: rows[name] for name in rows.keys() & dense.weights.keys()}, share)
        return float(outputs["loss"]) * share

    def _diverged(self, what: str) -> TrainingError:
        clip = self._solver.clip_gradients
        mend = f"set clip_gradients below {clip:g}" if clip >= 0 else "set clip_gradients (5 is common)"
        return TrainingError(
            f"iteration {self.iteration}: {what} at learning rate {self.rate:g}. Most likely the rate is too high: "
            f"lower solver.base_lr or {mend}. No weights were written since the last snapshot"
        )


def _by_rows(array: Array) -> Array:
    """Return a view of two axes: a number of a vector, such as the output's bias, is a row too."""
    return array.reshape(len(array), -1)


def _batch_size(net: Message) -> int:
    """Return the rows of a batch of the net's TRAIN phase."""
    return next(int(layer.hdf5_data_param.batch_size) for layer in active_layers(net) if layer.type == "HDF5Data")
