"""A net being trained: where it stands, and what any way to make its updates has in common."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx

from generator.caffe.prototxt import Parameter, active_layers, learnable
from generator.caffe.schema import Message
from generator.caffe.solverstate import TrainingState
from generator.errors import ModelError, TrainingError
from generator.onnxgraph.rewrites.outputs import up_to
from generator.training.engine.batches import READERS, Batch
from generator.training.engine.dense_group import UpdateFactors
from generator.training.engine.lazy_rows import LazyRows
from generator.training.engine.solver import Array, Rule, learning_rate

__all__ = ["Learner", "Start"]


@dataclass(frozen=True)
class Start:
    """Where the training of a net starts from, or goes on from.

    Attributes
    ----------
    gradient
        ``gradient.onnx``, serialised.
    net, solver
        Caffe's NetParameter and SolverParameter.
    weights
        Float32 arrays by name, in the shapes and the order of ``learnable(net)``.
    state
        Where training stands, and the history: one array a parameter, for Adam as many again. None: at the start.
    warmup
        Updates in which the rate rises, in equal steps, to what the solver's policy says; Caffe knows none.
    lazy
        Whether Adam leaves the rows of tables alone that have no gradient, as PyTorch's SparseAdam does; Caffe's moves
        them all. ``momentum``: they are moved when they are next read, nearly to where Caffe's has them.
    """

    gradient: bytes
    net: Message
    solver: Message
    weights: Mapping[str, Array]
    state: TrainingState | None = None
    warmup: int = 0
    lazy: bool | Literal["momentum"] = False


class Learner(ABC):
    """A net being trained, from ``start`` on.

    Attributes
    ----------
    weights
        The parameters by name; up to date after `flush`.
    iteration, current_step
        Where training stands, as in a solverstate.
    rate
        Learning rate of the last update.
    tables
        The parameters whose rows are updated when a batch reads them; see `LazyRows`.
    stopped
        Whether one of several learners was asked to stop, as all know after an update.

    Raises
    ------
    ModelError
        If the gradient graph lacks the gradient of a parameter.
    TrainingError
        If the solver asks for a rule or policy drn does not have.
    """

    def __init__(self, start: Start) -> None:
        self._rule = Rule(start.solver, drifting=start.lazy == "momentum")
        self._solver, self._warmup, self._lazy = start.solver, start.warmup, bool(start.lazy)
        self.weights = dict(start.weights)
        self.tables: dict[str, LazyRows] = {}
        self.stopped = False
        self._take_state(start.state)
        self.rate, _ = self._next_rate()
        self._rows = next(
            int(each.hdf5_data_param.batch_size) for each in active_layers(start.net) if each.type == "HDF5Data"
        )
        parameters = learnable(start.net)
        self._gradient = onnx.load_from_string(start.gradient)
        self._written = {value.name for value in self._gradient.graph.output}
        self._frozen = {parameter.name for parameter in parameters if parameter.lr_mult == 0}
        self._by_rows, self._groups_of = self._divide(parameters)

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
        """Return the parameters that may be updated row by row, and the others in groups of the same multipliers."""
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

    @property
    @abstractmethod
    def history(self) -> list[Array]:
        """The histories in the order of a solverstate; up to date after `flush`."""

    @abstractmethod
    def step(self, batches: Iterator[Batch]) -> float:
        """Make one update from the next ``iter_size`` batches; return their mean loss.

        Raises
        ------
        TrainingError
            If the loss or the norm of the gradients is not finite; the weights have not moved then.
        """

    @abstractmethod
    def flush(self) -> None:
        """Bring `weights` and every row of every table up to date: before the weights are read as a whole."""

    def align(self) -> None:  # noqa: B027 - a learner that learns alone has nobody to follow
        """Take over where the first of several learners stands: before the first update, at the same time as they."""

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
        asked = self._lazy and self._rule.drifts and self.iteration
        return self._rate(self.iteration - 1)[0] if asked else 0.0

    def _without_frozen(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """Return a graph without the gradients of parameters whose lr_mult is 0.

        Caffe's ``Net::Init`` leaves their gradient at 0: they are out of the clip norm and, but for weight decay, out
        of AdaGrad's and Adam's history. What momentum they have goes on moving them.
        """
        unwanted = {f"{name}_grad{kind}" for name in self._frozen for kind in ("", "_rows", "_values")}
        return up_to(model, *(value.name for value in model.graph.output if value.name not in unwanted))

    def _check_loss(self, loss: float) -> None:
        if not math.isfinite(loss) or not math.isfinite(self.rate):
            raise self._diverged(f"the loss is {loss}")

    def _check_squares(self, squares: float) -> None:
        if not math.isfinite(squares):
            raise self._diverged(f"the norm of the gradients is {math.sqrt(squares)}")

    def _diverged(self, what: str) -> TrainingError:
        clip = self._solver.clip_gradients
        remedy = f"set clip_gradients below {clip:g}" if clip >= 0 else "set clip_gradients (5 is common)"
        return TrainingError(
            f"iteration {self.iteration}: {what} at learning rate {self.rate:g}. Most likely the rate is too high: "
            f"lower solver.base_lr or {remedy}. No weights were written since the last snapshot"
        )
