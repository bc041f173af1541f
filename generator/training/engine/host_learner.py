"""Updates in the memory of the CPU: dense ones in place, those of tables by rows."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
import onnx

from generator.jobs.cpus import available
from generator.onnxgraph.optimise import optimise
from generator.onnxgraph.parse import parameter_shapes
from generator.onnxgraph.rewrites.label_count import LABEL_COUNT, with_label_count
from generator.training.engine.batches import Batch, shard_of
from generator.training.engine.dense_group import DenseGroup, UpdateFactors
from generator.training.engine.exchange import Exchange
from generator.training.engine.lazy_rows import LazyRows
from generator.training.engine.learner import Learner, Start
from generator.training.engine.row_table import DenseRows
from generator.training.engine.sharded_graph import ShardedGraph
from generator.training.engine.solver import Array, clip_factor

__all__ = ["HostLearner"]


class HostLearner(Learner):
    """A net that is trained in the memory of the CPU; the tables' weights are updated in place, the others copied.

    Parameters
    ----------
    start
        Where the training starts from.
    threads
        Threads that compute; 0: one for each core. From two on each half of a batch has its own.
    exchange
        What connects this learner with others that make every update with it, each from its rows of the batches; call
        `align` first. None: it learns alone.
    """

    def __init__(self, start: Start, *, threads: int = 0, exchange: Exchange | None = None) -> None:
        super().__init__(start)
        self._exchange = exchange
        threads, rows = threads or available(), self._rows // (exchange.size if exchange else 1)
        self._shards = 2 if threads > 1 and rows % 2 == 0 else 1
        model = optimise(with_label_count(self._gradient), rows // self._shards)
        # The graph may want a matrix as its transpose; `flush` then copies it to where the weights are read.
        shapes = parameter_shapes(model)
        self._transposed = {name for name, weight in self.weights.items() if shapes[name] != weight.shape}
        model = self._without_frozen(model)
        self._pool = None if threads == 1 else ThreadPoolExecutor(1, thread_name_prefix="second")
        self.tables = {name: self._lazy_rows(name, factors) for name, factors in self._by_rows.items()}
        self._dense_tables: dict[str, DenseRows] = {}
        self._groups: list[DenseGroup] = []
        for factors, names in self._groups_of.items():
            by_rows = [name for name in names if f"{name}_grad" not in self._written and name not in self._frozen]
            self._dense_tables |= {name: self._dense_rows(name, factors) for name in by_rows}
            self._groups.append(self._dense_group([name for name in names if name not in by_rows], factors))
        self._graph = self._bind(model, threads // self._shards)

    def _lazy_rows(self, name: str, factors: UpdateFactors) -> LazyRows:
        arrays, iter_size = self._arrays(name), self._solver.iter_size
        return LazyRows(*arrays, self._rule, factors, iteration=self.iteration, iter_size=iter_size, helper=self._pool)

    def _dense_rows(self, name: str, factors: UpdateFactors) -> DenseRows:
        return DenseRows(*self._arrays(name), self._rule, factors, iter_size=self._solver.iter_size, helper=self._pool)

    def _arrays(self, name: str) -> tuple[Array, list[Array]]:
        """Return the weight and the histories of a table, by rows."""
        return _by_rows(self.weights[name]), [_by_rows(history) for history in self._histories[name]]

    def _dense_group(self, names: list[str], factors: UpdateFactors) -> DenseGroup:
        """Return parameters joined in one, of which ``weights`` and the histories become parts."""

        def as_trained(name: str, array: Array) -> Array:
            return array.T if name in self._transposed else array

        group = DenseGroup(
            {name: as_trained(name, self.weights[name]) for name in names},
            [{name: as_trained(name, self._histories[name][k]) for name in names} for k in range(self._rule.histories)],
            self._rule,
            factors,
            iter_size=self._solver.iter_size,
            sparse=self._frozen.intersection(names),
            shards=self._shards,
            helper=self._pool,
        )
        for name in group.weights.keys() - self._transposed:
            self.weights[name] = group.weights[name]
            self._histories[name] = [history[name] for history in group.histories]
        return group

    def _bind(self, model: onnx.ModelProto, threads: int) -> ShardedGraph:
        """Return the graph, which reads the trained weights and writes their gradients where the groups read them."""
        trained = self.weights | {name: weight for group in self._groups for name, weight in group.weights.items()}
        pool = self._pool if self._shards > 1 else None
        graph = ShardedGraph(model.SerializeToString(), trained, threads, pool)
        for group in self._groups:
            for name in group.weights.keys() - group.sparse:
                graph.write_to(f"{name}_grad", [gradients[name] for gradients in group.gradients])
        return graph

    @property
    def history(self) -> list[Array]:
        """The histories in the order of a solverstate; up to date after `flush`."""
        return [arrays[k] for k in range(self._rule.histories) for arrays in self._histories.values()]

    def step(self, batches: Iterator[Batch]) -> float:
        """Make one update, as `Learner.step` says."""
        losses = [self._backward(batch) for batch in islice(batches, self._solver.iter_size)]
        loss = sum(losses) / len(losses)
        if self._exchange:
            loss = self._add_up(loss, self._exchange)
        self.rate, current_step = self._next_rate()
        self._check_loss(loss)
        parameters = self._parameters()
        if self._exchange:
            for parameter in parameters:
                parameter.all_reduce(self._exchange)
        scale = 1.0
        if self._solver.clip_gradients >= 0:
            squares = sum(parameter.squares() for parameter in parameters)
            self._check_squares(squares)
            scale = clip_factor(squares, self._solver.clip_gradients)
        for parameter in parameters:
            parameter.update(self.iteration, self.rate, scale / self._solver.iter_size)
        self.iteration, self.current_step = self.iteration + 1, current_step
        return loss

    def align(self) -> None:
        """Take over where the first of the learners stands, as `Learner.align` says."""
        if not self._exchange:
            return
        position = np.array([self.iteration, self.current_step])
        self._exchange.broadcast(position)
        self.iteration, self.current_step = map(int, position)
        for parameter in self._parameters():
            parameter.broadcast(self._exchange)

    def flush(self) -> None:
        """Bring every row of every table up to date, and copy to `weights` what the graph has as its transpose."""
        rate = self._past_rate()
        for table in self.tables.values():
            table.flush(self.iteration, rate)
        for group in self._groups:
            for name in group.weights.keys() & self._transposed:
                self.weights[name][...] = group.weights[name].T
                for whole, history in zip(self._histories[name], group.histories, strict=True):
                    whole[...] = history[name].T

    def _parameters(self) -> list[DenseGroup | LazyRows | DenseRows]:
        return [*self._groups, *self._dense_tables.values(), *self.tables.values()]

    def _add_up(self, loss: float, exchange: Exchange) -> float:
        """Return the loss of all learners' rows, and find out whether one of them is to stop."""
        sums = np.array([loss, exchange.stopping])
        exchange.all_reduce(sums)
        self.stopped = bool(sums[1])
        return float(sums[0])

    def _backward(self, batch: Batch) -> float:
        """Add the gradient of one batch, or of this learner's rows; return its loss, or what they add to it."""
        rate = self._past_rate()
        for name, table in self.tables.items():
            table.catch_up(batch.ids[name], self.iteration, rate)
        count = np.array(max(1, np.count_nonzero(batch.blobs["label"])), np.float32)
        blobs = batch.blobs | {LABEL_COUNT: count}
        if self._exchange:
            blobs = shard_of(blobs, self._exchange.rank, self._exchange.size)
        loss, outputs = self._graph.run(blobs)
        rows = {
            name: (ids, _by_rows(outputs[f"{name}_grad_values"]))
            for name in self.weights
            if (ids := outputs.get(f"{name}_grad_rows")) is not None
        }
        for name in self.tables.keys() - self._frozen:
            self.tables[name].add(rows[name], batch.ids[name])
        for name, dense_table in self._dense_tables.items():
            dense_table.add(rows[name])
        for group in self._groups:
            group.add({name: rows[name] for name in rows.keys() & group.weights.keys()})
        return loss


def _by_rows(array: Array) -> Array:
    """Return a view of two axes: a number of a vector, such as the output's bias, is a row too."""
    return array.reshape(len(array), -1)
