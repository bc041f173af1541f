"""A gradient graph of which two threads compute a batch, each half of its rows."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
import numpy.typing as npt

from generator.training.engine.batches import shard_of
from generator.training.engine.graph import Graph
from generator.training.engine.solver import Array

__all__ = ["ShardedGraph"]

Results = dict[str, npt.NDArray[Any]]


class ShardedGraph:
    """A gradient graph that computes the shards of a batch at the same time, without a word between them.

    onnxruntime's own threads share the work of one node after the other, and wait for each other at every one.

    Parameters
    ----------
    content
        A serialised gradient graph of `with_label_count`, for the rows of a shard.
    weights
        The parameters by name, read where they lie at every run.
    threads
        Intra-op threads for each shard; 0: one for each core.
    pool
        Where the second shard is computed; None: a batch is one shard.
    """

    def __init__(
        self, content: bytes, weights: Mapping[str, Array], threads: int, pool: Executor | None = None
    ) -> None:
        self._graphs = [Graph(content, weights, threads) for _ in range(2 if pool else 1)]
        self._pool = pool
        self._written: set[str] = set()
        self._joined: Results = {}

    def write_to(self, output: str, arrays: Sequence[Array]) -> None:
        """Have every run write the shards' ``output`` into as many ``arrays``."""
        self._written.add(output)
        for graph, array in zip(self._graphs, arrays, strict=True):
            graph.write_to(output, array)

    def run(self, blobs: Mapping[str, npt.NDArray[Any]]) -> tuple[float, Results]:
        """Run on a batch.

        Returns
        -------
        loss, results
            The sum of the shards' losses; and of the outputs that are written to no array given, the shards' one after
            the other, which the next run overwrites.
        """
        if self._pool is None:
            results = self._graphs[0].run(blobs)
            return float(results["loss"]), results
        second = self._pool.submit(self._run, 1, blobs)
        shards = [self._run(0, blobs), second.result()]
        return sum(float(each["loss"]) for each in shards), self._joined or self._join(shards)

    def _run(self, place: int, blobs: Mapping[str, npt.NDArray[Any]]) -> Results:
        return self._graphs[place].run(shard_of(blobs, place, len(self._graphs)))

    def _join(self, shards: Sequence[Results]) -> Results:
        """Have the shards' outputs, of which the first run told the shapes, written one after the other."""
        for name in shards[0].keys() - self._written - {"loss"}:
            parts = [each[name] for each in shards]
            self._joined[name] = np.concatenate(parts)
            for graph, part in zip(self._graphs, np.split(self._joined[name], len(parts)), strict=True):
                graph.write_to(name, part)
        return self._joined
