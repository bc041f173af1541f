"""Updates on a device of onnxruntime, such as an NVIDIA GPU, where weights and histories stay from one to the next."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import count, islice, pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnx import ModelProto

from generator.errors import ModelError, TrainingError
from generator.onnxgraph.optimise import optimise_fixed
from generator.training.engine.batches import Batch
from generator.training.engine.graph import NO_DEVICE, check_provider, open_session
from generator.training.engine.learner import Learner, Start
from generator.training.engine.solver import Array
from generator.training.engine.update_graph import (
    RATE,
    SQUARES,
    Update,
    accumulate_graph,
    earlier_rows,
    histories,
    sum_of,
    update_graph,
    updated,
)

__all__ = ["DeviceLearner"]

Value: TypeAlias = "onnxruntime.OrtValue"
_NUMBERS = count(1)
# What onnxruntime and CUDA say where memory is short.
NO_MEMORY = ("allocate memory", "out of memory", "bad_alloc")


class DeviceLearner(Learner):
    """A net whose parameters and histories lie on a device, and whose updates are made there by one graph.

    A run reads them from one of two sets of arrays and writes them to the other, which is read next unless loss or norm
    are not finite. Of a batch its blobs go to the device, and its loss comes back. On an NVIDIA GPU a run is a CUDA
    graph: its kernels, most of them small, are launched at once.

    Parameters
    ----------
    start
        Where the training starts from; its weights are copied.
    threads
        Intra-op threads of what onnxruntime computes on the CPU; 0: one for each core.
    provider
        ``cuda``; ``cpu`` makes the same updates in the same way.

    Raises
    ------
    TrainingError
        If there is no such device, or its memory is too small.
    """

    def __init__(self, start: Start, *, threads: int = 0, provider: str = "cuda") -> None:
        super().__init__(replace(start, weights={name: np.array(each) for name, each in start.weights.items()}))
        check_provider(provider)
        self._threads, self._provider = threads, provider
        self._updates = self._updates_of()
        self._flushed, self._sent = self.iteration, np.float32(np.nan)
        with self._on_device():
            self._loss, self._sent_rate, self._squares = (self._value((), np.float32) for _ in range(3))
            kept = self._uploaded()
            moving = [name for each in self._updates for name in (each.name, *self._names_of_histories(each.name))]
            other = kept | {name: self._value(kept[name].shape(), np.float32) for name in moving}
        self._states, self._current = (kept, other), 0
        self._blobs: dict[str, Value] = {}
        self._runs: list[list[_Run]] = []

    def _updates_of(self) -> list[Update]:
        """Return how each parameter is updated; one that Adam leaves alone without a gradient, and has none, is not."""
        # What a drifting Adam comes near to on the host, Caffe's of all rows, is made here itself.
        lazily = {} if self._rule.has_closed_form or self._rule.drifts else self._by_rows
        factors = self._by_rows | {name: each for each, names in self._groups_of.items() for name in names}
        return [
            Update(name, weight.shape, factors[name], name in lazily)
            for name, weight in self.weights.items()
            if name not in lazily.keys() & self._frozen
        ]

    def _names_of_histories(self, name: str) -> list[str]:
        return histories(name, self._rule.histories)

    def _uploaded(self) -> dict[str, Value]:
        """Return parameters and histories on the device, and keep no histories elsewhere."""
        arrays = dict(self.weights)
        for name, history in self._histories.items():
            arrays |= zip(self._names_of_histories(name), history, strict=True)
        self._histories = {}
        values = {name: self._value(array.shape, array.dtype) for name, array in arrays.items()}
        for name, value in values.items():
            value.update_inplace(arrays[name])
        return values

    def _value(self, shape: Sequence[int], dtype: npt.DTypeLike) -> Value:
        """Return an array on the device, not yet written."""
        return onnxruntime.OrtValue.ortvalue_from_shape_and_type(list(shape), np.dtype(dtype).type, self._provider)

    @property
    def history(self) -> list[Array]:
        """The histories in the order of a solverstate, read from the device."""
        names = zip(*(self._names_of_histories(name) for name in self.weights), strict=True)
        return [np.array(self._states[self._current][name].numpy()) for each in names for name in each]

    def step(self, batches: Iterator[Batch]) -> float:
        """Make one update, as `Learner.step` says."""
        taken = list(islice(batches, self._solver.iter_size))
        self.rate, current_step = self._next_rate()
        losses = []
        with self._on_device():
            self._send_rate(np.float32(self.rate * self._rule.correction(self.iteration)))
            for number, batch in enumerate(taken):
                self._send(batch.blobs)
                self._runs[self._current][number]()
                losses.append(float(self._loss.numpy()))
        loss = sum(losses) / len(losses)
        self._check_loss(loss)
        if self._solver.clip_gradients >= 0:
            self._check_squares(float(self._squares.numpy()))
        self._current = 1 - self._current
        self.iteration, self.current_step = self.iteration + 1, current_step
        return loss

    def flush(self) -> None:
        """Read the weights from the device."""
        if self._flushed != self.iteration:
            for name, weight in self.weights.items():
                np.copyto(weight, self._states[self._current][name].numpy())
            self._flushed = self.iteration

    def _send_rate(self, rate: np.float32) -> None:
        if rate != self._sent:
            self._sent_rate.update_inplace(np.array(rate))
            self._sent = rate

    def _send(self, blobs: Mapping[str, npt.NDArray[Any]]) -> None:
        """Copy a batch to the device; the first one says of what shape all are."""
        if not self._runs:
            self._open(blobs)
        for name, value in self._blobs.items():
            value.update_inplace(np.ascontiguousarray(blobs[name]))

    def _open(self, blobs: Mapping[str, npt.NDArray[Any]]) -> None:
        """Make the graphs for batches of such shapes, and the runs of an update's batches from either set of arrays."""
        inputs = [info for info in self._gradient.graph.input if info.name in blobs]
        axes = {
            dim.dim_param: size
            for info in inputs
            for dim, size in zip(info.type.tensor_type.shape.dim, blobs[info.name].shape, strict=True)
            if dim.dim_param
        }
        self._blobs = {info.name: self._value(blobs[info.name].shape, blobs[info.name].dtype) for info in inputs}
        model = self._without_frozen(optimise_fixed(self._gradient, axes))
        last = self._session(update_graph(model, self._updates, self._solver))
        before = self._session(accumulate_graph(model, self._updates)) if self._solver.iter_size > 1 else None
        stages, rows = self._sums(before)
        for kept, other in (self._states, self._states[::-1]):
            given = self._blobs | kept | {RATE: self._sent_rate}
            runs: dict[tuple[int, ...], _Run] = {}
            order = []
            for (sums, summed), ids in zip(pairwise(stages), rows, strict=True):
                order.append(key := (id(sums), id(summed), *map(id, ids.values())))
                if key not in runs:  # of many batches few differ in what they read and write
                    runs[key] = _Run(before, given | sums, {"loss": self._loss, **ids, **_after(summed)})
            results = {"loss": self._loss, SQUARES: self._squares, **_after(other)}
            whole = _Run(last, given | stages[-1] | self._earlier(rows), results)
            self._runs.append([*(runs[key] for key in order), whole])

    def _earlier(self, rows: Sequence[Mapping[str, Value]]) -> dict[str, Value]:
        """Return the ids of rows in an update's batches but the last, by the names that the last reads them by."""
        return {
            name: ids[f"{each.name}_grad_rows"]
            for each in self._updates
            if each.by_rows
            for name, ids in zip(earlier_rows(each.name, len(rows) + 1), rows, strict=True)
        }

    def _session(self, model: ModelProto) -> onnxruntime.InferenceSession:
        """Return a session whose kernels are launched as one CUDA graph, or one by one if some are of the CPU."""
        content = model.SerializeToString()
        try:
            return open_session(content, self._threads, self._provider, captured=True)
        except ModelError:
            return open_session(content, self._threads, self._provider)

    def _sums(
        self, session: onnxruntime.InferenceSession | None
    ) -> tuple[list[dict[str, Value]], list[dict[str, Value]]]:
        """Return the sums of gradients before each batch of an update, and the ids of the rows of each but the last."""
        if session is None:
            return [{}], []
        outputs = {each.name: each.shape for each in session.get_outputs()}
        summed = [each for each in self._updates if updated(sum_of(each.name)) in outputs]
        zeros, *sums = ({sum_of(each.name): self._value(each.shape, np.float32) for each in summed} for _ in range(3))
        for each in summed:
            zeros[sum_of(each.name)].update_inplace(np.zeros(each.shape, np.float32))
        ids = {name: shape for name, shape in outputs.items() if name.endswith("_grad_rows")}
        batches = range(self._solver.iter_size - 1)
        rows = [{name: self._value(shape, np.int64) for name, shape in ids.items()} for _ in batches]
        return [zeros, *(sums[number % 2] for number in batches)], rows

    @contextmanager
    def _on_device(self) -> Iterator[None]:
        """Say in words of a training what onnxruntime says of a device."""
        try:
            yield
        except Exception as error:  # onnxruntime's exceptions share no public base
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            if isinstance(error, MemoryError) or any(each in str(error) for each in NO_MEMORY):
                size = 2 * (1 + self._rule.histories) * sum(weight.nbytes for weight in self.weights.values()) / 2**30
                raise TrainingError(
                    f"provider {self._provider}: the device's memory is too small: weights and solver history take "
                    f"{size:,.1f} GiB of it, and what a batch computes comes on top: lower widths, pages, items or "
                    f"solver.batch_size, or train with --provider cpu ({said})"
                ) from error
            if isinstance(error, RuntimeError) or type(error).__module__.startswith("onnxruntime."):
                raise TrainingError(f"provider {self._provider}: onnxruntime fails: {said}; {NO_DEVICE}") from error
            raise


class _Run:
    """A session that reads and writes the same arrays at every call."""

    def __init__(
        self, session: onnxruntime.InferenceSession, given: Mapping[str, Value], results: Mapping[str, Value]
    ) -> None:
        self._session, self._binding = session, session.io_binding()
        self._options = onnxruntime.RunOptions()
        self._options.add_run_config_entry("gpu_graph_id", str(next(_NUMBERS)))  # of the CUDA graph, where it is one
        for each in session.get_inputs():
            self._binding.bind_ortvalue_input(each.name, given[each.name])
        for each in session.get_outputs():
            self._binding.bind_ortvalue_output(each.name, results[each.name])

    def __call__(self) -> None:
        self._session.run_with_iobinding(self._binding, self._options)


def _after(values: Mapping[str, Value]) -> dict[str, Value]:
    """Return arrays by the names that a graph writes them by."""
    return {updated(name): value for name, value in values.items()}
