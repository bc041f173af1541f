"""The nets in PyTorch: eager with dense embeddings, without momentum with sparse ones too, and compiled."""

import math
import os
import shutil
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name
from turns import Side, on_threads

from generator.spec.schema import Spec
from generator.training.engine.batches import Batch

__all__ = ["Torch", "compiles", "tensors", "torch_epoch", "torch_sides"]


class Net(nn.Module):
    """The RNN of a spec as its user would write it in PyTorch: columns major, one product for all columns' inputs."""

    def __init__(self, spec: Spec, weights: dict[str, np.ndarray], *, sparse: bool = False) -> None:
        super().__init__()
        self.layers, self.head, self.every, self.sparse = len(spec.rnn.widths), spec.head, spec.loss == "every", sparse
        for name, weight in weights.items():
            setattr(self, name, nn.Parameter(torch.from_numpy(weight.copy())))
        if spec.solver.sampled:  # rows of one number, which F.embedding can look up
            self.output_bias = nn.Parameter(self.output_bias.data[:, None])

    def forward(self, page, label, visit_dropout=None, top_dropout=None, candidate=None, candidate_correction=None):
        """Return the loss; without masks, dropout draws its own; with candidates the softmax is over them alone."""
        page, label = page.mT, label.mT if self.every else label
        mask = (page > 0).float().unsqueeze(-1)
        visit_dropout = self.by_column(visit_dropout, len(page))
        top_dropout = self.by_column(top_dropout, len(page)) if self.every else top_dropout
        visit = self.drop(F.embedding(page, self.page_embedding, sparse=self.sparse), visit_dropout)
        inputs = visit + self.hidden1_bias
        for layer in range(1, self.layers + 1):
            weight = getattr(self, f"hidden{layer}_recurrent_weight").T
            states = [torch.relu(inputs[0]) * mask[0]]
            for t in range(1, len(page)):
                states.append(torch.relu(torch.addmm(inputs[t], states[-1], weight)) * mask[t])
            if layer < self.layers:
                above = f"hidden{layer + 1}"
                inputs = F.linear(
                    torch.stack(states), getattr(self, f"{above}_input_weight"), getattr(self, f"{above}_bias")
                )
        top, seen = (
            (torch.cat(states), (visit * mask).flatten(0, 1)) if self.every else (states[-1], (visit * mask)[-1])
        )
        top = self.drop(top, top_dropout)
        if self.head.projection:
            top = F.linear(top, self.projection_weight)
        if self.head.skip:
            top = top + F.linear(seen, self.skip_weight)
        output, bias, label = (
            self.page_embedding if self.head.tied else self.output_rnn_weight,
            self.output_bias,
            label.flatten(),
        )
        if candidate is None:
            return F.cross_entropy(F.linear(top, output, bias), label, ignore_index=0)
        top, label = top[label > 0], label[label > 0]
        output = F.embedding(candidate, output, sparse=self.sparse)
        bias = F.embedding(candidate, bias, sparse=self.sparse)[:, 0]
        score = F.linear(top, output, bias + candidate_correction)
        return F.cross_entropy(score.scatter_add(1, label[:, None], -candidate_correction[label][:, None]), label)

    @staticmethod
    def by_column(mask, columns):
        """Return a mask, a row a state of one session after the other, with its columns first."""
        return None if mask is None else mask.view(-1, columns, mask.shape[-1]).transpose(0, 1).contiguous()

    def drop(self, values, mask):
        if self.head.dropout == 0:
            return values
        return F.dropout(values, self.head.dropout) if mask is None else values * mask.view_as(values)


class Torch:
    """A net in PyTorch and the optimizers that make the updates of the spec's solver, by rows if it is lazy."""

    def __init__(
        self,
        spec: Spec,
        weights: dict[str, np.ndarray],
        *,
        sparse: bool = False,
        compiled: bool = False,
        device: str = "cpu",
    ) -> None:
        solver = spec.solver
        self.net = Net(spec, weights, sparse=sparse or solver.lazy).to(device)
        mode = "reduce-overhead" if device == "cuda" else "default"  # the former launches kernels as CUDA graphs
        self._loss = torch.compile(self.net, mode=mode) if compiled else self.net
        self._rate = lambda iteration: (1 - iteration / solver.max_iter) if solver.lr_policy == "poly" else 1.0
        self._base, self._delta, self._iteration = solver.base_lr, solver.delta, 0
        if solver.type == "Adam":
            betas = (solver.momentum, solver.momentum2)
            tables = [self.net.page_embedding, self.net.output_bias] if solver.lazy else []
            dense = [each for each in self.net.parameters() if not any(each is table for table in tables)]
            self._optimizers = [torch.optim.Adam(dense, solver.base_lr, betas, solver.delta, fused=True)]
            if tables:
                self._optimizers.append(torch.optim.SparseAdam(tables, solver.base_lr, betas, solver.delta))
        else:
            fused = {} if sparse else {"fused": True}
            self._optimizers = [torch.optim.SGD(self.net.parameters(), solver.base_lr, solver.momentum, **fused)]

    def step(self, blobs: dict[str, torch.Tensor]) -> float:
        """Make one update; return the loss."""
        for optimizer in self._optimizers:
            group = optimizer.param_groups[0]
            group["lr"] = self._base * self._rate(self._iteration)
            if isinstance(optimizer, torch.optim.Adam):  # Caffe adds delta before the bias is corrected, PyTorch after
                group["eps"] = self._delta / math.sqrt(1 - group["betas"][1] ** (self._iteration + 1))
            optimizer.zero_grad()
        loss = self._loss(**blobs)
        loss.backward()
        for optimizer in self._optimizers:
            optimizer.step()
        self._iteration += 1
        return loss.item()


def tensors(batch: Batch) -> dict[str, torch.Tensor]:
    """Return the blobs of a batch for PyTorch."""
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in batch.blobs.items()}


def compiles() -> bool:
    """Whether torch.compile finds the C++ compiler it needs."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "g++", "clang++"))


def torch_sides(
    spec: Spec,
    weights: dict[str, np.ndarray],
    ready: list[dict[str, torch.Tensor]],
    *,
    compiled: bool,
    threads: list[int],
) -> list[Side]:
    """Return the ways in which PyTorch makes the same updates, each on so many threads."""
    ways: dict[str, dict[str, bool]] = {"PyTorch": {}}
    if spec.solver.momentum == 0:
        ways["PyTorch, sparse"] = {"sparse": True}
    if compiled:
        ways["PyTorch, compiled"] = {"compiled": True}

    def updates(peer: Torch, threads: int) -> Callable[[int], float]:
        coming = cycle(ready)

        def made(times: int) -> float:
            torch.set_num_threads(threads)
            return [peer.step(blobs) for blobs in islice(coming, times)][-1]

        return made

    return [
        Side(on_threads(name, each), updates(Torch(spec, weights, **way), each))
        for name, way in ways.items()
        for each in threads
    ]


def torch_epoch(spec: Spec, data: Path, weights: dict[str, np.ndarray], file: Path, updates: int, threads: int) -> None:
    """Train for an epoch in PyTorch, from the HDF5 file to a file of weights; compiling would take longer than that."""
    torch.set_num_threads(threads)
    with h5py.File(data / "train.h5") as split:
        rows = {name: torch.from_numpy(split[name][()].astype(np.int64)) for name in ("page", "label")}
    peer = Torch(spec, weights)
    size = spec.solver.batch_size
    order = torch.randperm(len(rows["page"])).repeat(2)
    for k in range(updates):
        taken = order[k * size : (k + 1) * size]
        peer.step({name: array[taken] for name, array in rows.items()})
    torch.save(peer.net.state_dict(), file)
