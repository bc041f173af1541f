"""The parameters of a net and the step that moves them: forward, backward, Caffe's update."""

import math
from collections.abc import Iterator, Mapping
from itertools import islice

import numpy as np

from generator.caffe.prototxt import learnable
from generator.caffe.schema import Message
from generator.caffe.solverstate import State
from generator.errors import ModelError, TrainingError
from generator.train.batches import READERS, Batch
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
        Float32 arrays by name, in the shapes and the order of ``learnable(net)``; updated in place.
    state
        Where training stands, and the history: one array a parameter, for Adam as many again. None: at the start.
    warmup
        Updates in which the rate rises, in equal steps, to what the solver's policy says; Caffe knows none.
    threads
        Intra-op threads of onnxruntime; 0: one for each core.

    Attributes
    ----------
    history, iteration, current_step
        Where training stands, as in a solverstate.
    rate
        Learning rate of the last update.
    tables
        The embedding tables that are updated row by row; see `Table`.

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
    ) -> None:
        rule = Rule(solver)
        self.weights = weights
        state = state or State(0, "", [np.zeros_like(w) for _ in range(rule.histories) for w in weights.values()], 0)
        self.history = state.history
        self.iteration, self.current_step = state.iteration, state.current_step
        self._warmup = warmup
        self.rate, _ = self._rate(solver)
        self.tables: dict[str, Table] = {}
        self._dense: dict[str, Dense] = {}
        self._solver = solver
        self._graph = Graph(gradient, weights, threads)
        for place, parameter in enumerate(learnable(net)):
            name = parameter.name
            mine = self.history[place :: len(weights)]
            multipliers = Multipliers(parameter.lr_mult, solver.weight_decay * parameter.decay_mult)
            written, rows = (f"{name}_grad" in self._graph.outputs, f"{name}_grad_rows" in self._graph.outputs)
            if not written and not rows:
                raise ModelError(f"the gradient graph has no output {name}_grad, the gradient of parameter {name}")
            if rows and not written and name in READERS and Table.fits(rule, multipliers):
                self.tables[name] = Table(
                    weights[name], mine, rule, multipliers, iteration=self.iteration, iter_size=solver.iter_size
                )
                continue
            dense = Dense(weights[name], mine, rule, multipliers, iter_size=solver.iter_size, written=written)
            self._dense[name] = dense
            if written:
                self._graph.write_to(f"{name}_grad", dense.gradient)

    def step(self, batches: Iterator[Batch]) -> float:
        """Make one update from the next ``iter_size`` batches; return their mean loss.

        Raises
        ------
        TrainingError
            If the loss or the norm of the gradients is not finite; the weights have not moved then.
        """
        losses = [self._backward(batch) for batch in islice(batches, self._solver.iter_size)]
        loss = sum(losses) / len(losses)
        self.rate, current_step = self._rate(self._solver)
        if not math.isfinite(loss):
            raise self._diverged(f"the loss is {loss}")
        parameters: list[Dense | Table] = [*self._dense.values(), *self.tables.values()]
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

    def flush(self) -> None:
        """Bring every row of every table up to date: before the weights are read as a whole."""
        for table in self.tables.values():
            table.flush(self.iteration)

    def check_finite(self) -> None:
        """Raise TrainingError if a weight is not finite: before the weights are written."""
        for name, weight in self.weights.items():
            if not np.isfinite(weight).all():
                raise self._diverged(f"parameter {name} holds numbers that are not finite")

    def _rate(self, solver: Message) -> tuple[float, int]:
        """Return the rate of the update to come, warm-up included, and Caffe's ``current_step`` after it."""
        rate, current_step = learning_rate(solver, self.iteration, self.current_step)
        return rate * min(1.0, (self.iteration + 1) / max(1, self._warmup)), current_step

    def _backward(self, batch: Batch) -> float:
        """Add the gradient of one batch; return its loss."""
        for name, table in self.tables.items():
            table.settle(batch.ids[name], self.iteration)
        outputs = self._graph.run(batch.blobs)
        for name, table in self.tables.items():
            table.add((outputs[f"{name}_grad_rows"], outputs[f"{name}_grad_values"]))
        for name, dense in self._dense.items():
            ids = outputs.get(f"{name}_grad_rows")
            dense.add(None if ids is None else (ids, outputs[f"{name}_grad_values"]))
        return float(outputs["loss"])

    def _diverged(self, what: str) -> TrainingError:
        clip = self._solver.clip_gradients
        mend = f"set clip_gradients below {clip:g}" if clip >= 0 else "set clip_gradients (5 is common)"
        return TrainingError(
            f"iteration {self.iteration}: {what} at learning rate {self.rate:g}. Most likely the rate is too high: "
            f"lower solver.base_lr or {mend}. No weights were written since the last snapshot"
        )
