"""Sums and broadcasts between the replicas of a training, by the collectives of torch.distributed on gloo."""

from datetime import timedelta
from typing import Any

import numpy.typing as npt

__all__ = ["Gloo", "ReplicaLostError", "rendezvous"]

TIMEOUT = timedelta(minutes=5)  # until a replica that is there and says nothing is taken for lost


class ReplicaLostError(Exception):
    """Another replica is gone."""


class Gloo:
    """An `Exchange` of replicas in as many processes; all make the same calls in the same order.

    Parameters
    ----------
    rank, size
        Which replica this is, from 0, and how many there are; the rows of a batch are divided evenly.
    store
        What `rendezvous` returned.

    Attributes
    ----------
    bytes
        Bytes of the arrays summed so far, of this replica.
    """

    def __init__(self, rank: int, size: int, store: Any) -> None:
        import torch
        from torch import distributed

        torch.set_num_threads(1)
        distributed.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=TIMEOUT)
        self.rank, self.size, self.stopping, self.bytes = rank, size, False, 0
        self._torch, self._distributed = torch, distributed

    def all_reduce(self, array: npt.NDArray[Any]) -> None:
        """As `Exchange.all_reduce`; the array is contiguous."""
        if not array.size:
            return
        self.bytes += array.nbytes
        self._call(self._distributed.all_reduce, array)

    def broadcast(self, array: npt.NDArray[Any]) -> None:
        """As `Exchange.broadcast`; the array is contiguous."""
        self._call(self._distributed.broadcast, array, 0)

    def _call(self, collective: Any, array: npt.NDArray[Any], *rest: int) -> None:
        try:
            collective(self._torch.from_numpy(array.reshape(-1)), *rest)
        except RuntimeError as error:  # gloo's for a connection that is closed, or silent for too long
            raise ReplicaLostError(str(error)) from error


def rendezvous(host: str, port: int, *, first: bool) -> Any:
    """Return the store at which replicas find each other; the ``first`` keeps it, at a free port for ``port`` 0."""
    from torch import distributed

    return distributed.TCPStore(  # type: ignore[attr-defined]  # it is public, but torch exports it by a star
        host, port, None, first, timeout=TIMEOUT, wait_for_workers=False
    )
