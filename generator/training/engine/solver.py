"""Caffe 1.0's solver: learning-rate policies and update rules, on float32 numpy arrays in place.

A step is, as in ``SGDSolver::ApplyUpdate``: bound the L2 norm of all gradients together (before they are divided by
``iter_size``), then for each parameter divide by ``iter_size``, add the weight decay, and apply the rule.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from generator.errors import TrainingError

__all__ = ["BLOCK", "Array", "Rule", "SolverSettings", "clip_factor", "learning_rate", "squared_norm"]

Array = npt.NDArray[np.float32]

# Elements of a block: weight, gradient, history and scratch of one block stay in a 1 MiB L2 cache, and numpy's calls
# are few.
BLOCK = 1 << 16


class SolverSettings(Protocol):
    """The fields of Caffe's SolverParameter that a step reads, under Caffe's names.

    ``clip_gradients`` below 0 switches the bound off.
    """

    @property
    def type(self) -> str: ...  # noqa: D102 - Caffe's names, said in the class
    @property
    def base_lr(self) -> float: ...  # noqa: D102
    @property
    def lr_policy(self) -> str: ...  # noqa: D102
    @property
    def gamma(self) -> float: ...  # noqa: D102
    @property
    def power(self) -> float: ...  # noqa: D102
    @property
    def stepsize(self) -> int: ...  # noqa: D102
    @property
    def stepvalue(self) -> Sequence[int]: ...  # noqa: D102
    @property
    def max_iter(self) -> int: ...  # noqa: D102
    @property
    def momentum(self) -> float: ...  # noqa: D102
    @property
    def momentum2(self) -> float: ...  # noqa: D102
    @property
    def delta(self) -> float: ...  # noqa: D102


def _single(value: float | np.float64) -> float:
    """Round to float32, the type of Caffe's solver fields."""
    return float(np.float32(value))


def learning_rate(solver: SolverSettings, iteration: int, current_step: int = 0) -> tuple[float, int]:
    """Return the learning rate of an update and Caffe's ``current_step`` after it.

    Parameters
    ----------
    solver
        Caffe's solver fields.
    iteration
        Updates made so far, from 0.
    current_step
        What the call for the update before returned (0 at the start); only ``multistep`` reads it, and like Caffe
        moves it by at most one in a call.

    Raises
    ------
    TrainingError
        If the policy is not one of Caffe 1.0's.

    Notes
    -----
    ``SGDSolver::GetLearningRate`` of Caffe 1.0, in double precision rounded to float32. As in C, what overflows is
    infinite, and a negative number to a power that is not whole is NaN: the loss then is not finite.
    """
    if solver.lr_policy == "fixed":  # which small nets are trained by: what follows takes a hundredth of their step
        return _single(solver.base_lr), current_step
    base, gamma, power = (np.float64(_single(value)) for value in (solver.base_lr, solver.gamma, solver.power))
    with np.errstate(all="ignore"):
        return _rate(solver, base, gamma, power, iteration, current_step)


def _rate(
    solver: SolverSettings, base: np.float64, gamma: np.float64, power: np.float64, iteration: int, current_step: int
) -> tuple[float, int]:
    """Return the rate and ``current_step``; numpy's numbers overflow where Python's raise."""
    match solver.lr_policy:
        case "step":
            current_step = iteration // solver.stepsize
            rate = base * gamma**current_step
        case "exp":
            rate = base * gamma**iteration
        case "inv":
            rate = base * (1.0 + gamma * iteration) ** -power
        case "multistep":
            if current_step < len(solver.stepvalue) and iteration >= solver.stepvalue[current_step]:
                current_step += 1
            rate = base * gamma**current_step
        case "poly":
            rate = base * (1.0 - iteration / solver.max_iter) ** power
        case "sigmoid":
            rate = base / (1.0 + np.exp(-gamma * (iteration - solver.stepsize)))
        case other:
            raise TrainingError(
                f"lr_policy is {other!r}; Caffe 1.0 knows fixed, step, exp, inv, multistep, poly and sigmoid"
            )
    return _single(rate), current_step


def squared_norm(array: Array) -> float:
    """Return the sum of the squares of a contiguous array, blocks in float32, their sum in double."""
    flat = array.reshape(-1)
    return sum(float(np.dot(block, block)) for block in (flat[i : i + BLOCK] for i in range(0, flat.size, BLOCK)))


def clip_factor(squares: float, clip_gradients: float) -> float:
    """Return what to multiply every gradient by, so that their common L2 norm is at most ``clip_gradients``.

    ``SGDSolver::ClipGradients``: ``squares`` is the sum over all parameters; a bound below 0 is none.
    """
    norm = math.sqrt(squares)
    return clip_gradients / norm if 0 <= clip_gradients < norm else 1.0


class _Numbers(NamedTuple):
    """The scalars of one update: local rate, momentum (beta 1), momentum2 (beta 2), delta, Adam's correction."""

    rate: float
    momentum: float
    momentum2: float
    delta: float
    correction: float


# Each rule takes weight, gradient (used up), histories and scratch of one shape, and moves the weight.


def _sgd(n: _Numbers, w: Array, g: Array, h: Sequence[Array], s: Array) -> None:
    """SGD: v = m v + lr g; w -= v."""
    v = h[0]
    v *= n.momentum
    np.multiply(g, n.rate, out=s)  # not into g, which would be written back to memory
    v += s
    w -= v


def _nesterov(n: _Numbers, w: Array, g: Array, h: Sequence[Array], s: Array) -> None:
    """Nesterov: v' = m v + lr g; w -= (1 + m) v' - m v."""
    v = h[0]
    np.multiply(v, n.momentum, out=s)
    g *= n.rate
    np.add(s, g, out=v)
    np.multiply(v, 1.0 + n.momentum, out=g)
    g -= s
    w -= g


def _adagrad(n: _Numbers, w: Array, g: Array, h: Sequence[Array], s: Array) -> None:
    """AdaGrad: v += g²; w -= lr g / (sqrt(v) + delta)."""
    v = h[0]
    np.multiply(g, g, out=s)
    v += s
    np.sqrt(v, out=s)
    s += n.delta
    g /= s
    g *= n.rate
    w -= g


def _adam(n: _Numbers, w: Array, g: Array, h: Sequence[Array], s: Array) -> None:
    """Adam: m = b1 m + (1-b1) g; v = b2 v + (1-b2) g²; w -= lr sqrt(1-b2^t)/(1-b1^t) m / (sqrt(v) + delta)."""
    m, v = h
    m *= n.momentum
    np.multiply(g, 1.0 - n.momentum, out=s)
    m += s
    v *= n.momentum2
    np.multiply(g, g, out=s)
    s *= 1.0 - n.momentum2
    v += s
    _adam_step(n, w, m, v, s)


def _adam_step(n: _Numbers, w: Array, m: Array, v: Array, s: Array) -> None:
    np.sqrt(v, out=s)
    s += n.delta
    np.divide(m, s, out=s)
    s *= n.rate * n.correction
    w -= s


def _adam_without_gradient(n: _Numbers, w: Array, h: Sequence[Array], s: Array) -> None:
    """Do what `_adam` does by a gradient of zeros, in fewer passes."""
    m, v = h
    m *= n.momentum
    v *= n.momentum2
    _adam_step(n, w, m, v, s)


_UPDATES: dict[str, Callable[[_Numbers, Array, Array, Sequence[Array], Array], None]] = {
    "SGD": _sgd,
    "Nesterov": _nesterov,
    "AdaGrad": _adagrad,
    "Adam": _adam,
}
# The power of m in how far a weight falls in a step without gradient: SGD's falls by m v,
# Nesterov's by (1 + m) m v - m v = m² v.
_MOMENTUM_POWER = {"SGD": 1, "Nesterov": 2}


class Rule:
    """One of Caffe's update rules: SGD, Nesterov, AdaGrad, Adam.

    Parameters
    ----------
    solver
        Caffe's solver fields.
    drifting
        Whether Adam moves on the rows that `skip_steps` is given, too: nearly as Caffe's does.

    Attributes
    ----------
    histories
        History arrays of a parameter, each of its shape: 1, for Adam 2 (m, v).
    has_closed_form
        Whether what a row does without a gradient has a closed form: yes, but for Adam.
    drifts
        Whether a row moves on without a gradient in that closed form: SGD, Nesterov, and Adam where it is asked to.

    Raises
    ------
    TrainingError
        If the solver type is another.
    """

    def __init__(self, solver: SolverSettings, *, drifting: bool = False) -> None:
        if solver.type not in _UPDATES:
            raise TrainingError(f"solver type is {solver.type!r}; drn trains with {', '.join(_UPDATES)}")
        self._update = _UPDATES[solver.type]
        self._momentum, self._momentum2 = _single(solver.momentum), _single(solver.momentum2)
        self._delta = _single(solver.delta)
        self.histories = 2 if solver.type == "Adam" else 1
        self.has_closed_form = solver.type != "Adam"
        self.drifts = drifting or solver.type in _MOMENTUM_POWER
        self._fall = 0.0
        if solver.type in _MOMENTUM_POWER:
            self._fall = self._momentum ** _MOMENTUM_POWER[solver.type] / (1.0 - self._momentum)

    def apply(
        self,
        weight: Array,
        gradient: Array,
        histories: Sequence[Array],
        *,
        iteration: int,
        rate: float,
        scale: float = 1.0,
        decay: float = 0.0,
        others: Sequence[Array] = (),
    ) -> None:
        """Update ``weight`` and ``histories`` in place, in blocks; ``gradient`` is used up.

        Parameters
        ----------
        weight, gradient, histories
            Contiguous float32 arrays of one shape.
        iteration
            Updates made before this one (Adam's t - 1).
        rate
            Learning rate times lr_mult.
        scale
            Clip factor divided by iter_size; multiplies the gradient.
        decay
            weight_decay times decay_mult; decay · weight is added to the gradient.
        others
            Gradients that are added to ``gradient``: of other shards of the batch.
        """
        numbers = self._numbers(iteration, rate)
        whole = np.empty(min(BLOCK, weight.size), np.float32)  # its own: halves of an array are updated in two threads
        for w, g, *rest in _blocks(weight, gradient, *histories, *others):
            scratch, h = whole[: w.size], rest[: len(histories)]
            for other in rest[len(histories) :]:
                np.add(g, other, out=g)
            if scale != 1.0:
                np.multiply(g, scale, out=g)
            if decay:
                np.multiply(w, decay, out=scratch)
                np.add(g, scratch, out=g)
            self._update(numbers, w, g, h, scratch)

    def skip_step(
        self, weight: Array, histories: Sequence[Array], *, iteration: int, rate: float, decay: float = 0.0
    ) -> None:
        """Do what `apply` does by a gradient of zeros."""
        numbers = self._numbers(iteration, rate)
        scratch, gradient = np.empty((2, min(BLOCK, weight.size)), np.float32)
        for w, *h in _blocks(weight, *histories):
            s, g = scratch[: w.size], gradient[: w.size]
            if self.histories == 2 and not decay:
                _adam_without_gradient(numbers, w, h, s)
            else:
                np.multiply(w, decay, out=g)
                self._update(numbers, w, g, h, s)

    def _numbers(self, iteration: int, rate: float) -> _Numbers:
        return _Numbers(rate, self._momentum, self._momentum2, self._delta, self.correction(iteration))

    def correction(self, iteration: int) -> float:
        """Return what Adam multiplies the rate of the update after ``iteration`` others by; 1 for other rules."""
        return float(self._correction(np.float64(iteration + 1))) if self.histories == 2 else 1.0

    def skip_steps(
        self,
        weight: Array,
        histories: Sequence[Array],
        steps: npt.NDArray[np.int64],
        *,
        iteration: int = 0,
        rate: float = 0.0,
    ) -> None:
        """Apply ``steps[i]`` updates without gradient or decay to row i, in closed form, in place.

        SGD: w -= v·m(1-mᵏ)/(1-m); Nesterov: w -= v·m²(1-mᵏ)/(1-m); both: v *= mᵏ.

        Adam: w -= lr·c·m/(sqrt(v)+delta)·r(1-rᵏ)/(1-r) with r = b1/sqrt(b2); m *= b1ᵏ; v *= b2ᵏ. It takes one rate and
        one correction c for all k updates, and delta as small beside sqrt(v); so it comes near to what they are.

        Parameters
        ----------
        weight, histories
            Shape (R, width) each.
        steps
            Shape (R,): updates skipped, k, 0 or more.
        iteration
            Updates made, the skipped ones included; Adam alone asks.
        rate
            Learning rate times lr_mult of the skipped updates; Adam alone asks: SGD's history holds it.
        """
        if self.histories == 2:
            m, v = histories
            self._skip_adam(weight, m, v, steps, iteration, rate)
            return
        (history,) = histories
        faded = self._momentum**steps
        weight -= history * (self._fall * (1.0 - faded)).astype(np.float32)[:, None]
        history *= faded.astype(np.float32)[:, None]

    def _skip_adam(
        self, weight: Array, m: Array, v: Array, steps: npt.NDArray[np.int64], iteration: int, rate: float
    ) -> None:
        ratio = self._momentum / math.sqrt(self._momentum2)  # of one skipped update to the one before
        reach = steps if ratio == 1.0 else ratio * (1.0 - ratio**steps) / (1.0 - ratio)
        # Of the skipped updates the first count; the correction is that in the middle of them.
        middle = iteration - steps + np.minimum(0.5 * (steps + 1), 1.0 / (1.0 - self._momentum))
        fall = rate * self._correction(np.maximum(middle, 1.0)) * reach
        weight -= m / (np.sqrt(v) + np.float32(self._delta)) * fall.astype(np.float32)[:, None]
        m *= (self._momentum**steps).astype(np.float32)[:, None]
        v *= (self._momentum2**steps).astype(np.float32)[:, None]

    def _correction(self, t: npt.NDArray[np.float64] | np.float64) -> npt.NDArray[np.float64]:
        """Return Adam's correction of update ``t``, from 1, for histories that began at 0."""
        return np.sqrt(1.0 - self._momentum2**t) / (1.0 - self._momentum**t)


def _blocks(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    flats = [array.reshape(-1) for array in arrays]
    for start in range(0, flats[0].size, BLOCK):
        yield tuple(flat[start : start + BLOCK] for flat in flats)
