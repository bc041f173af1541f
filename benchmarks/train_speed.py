"""Training throughput of drn beside PyTorch: the same nets, weights and batches, by turns, in one run.

    python benchmarks/train_speed.py --rounds 15
    python benchmarks/train_speed.py --nets 1 2 --momentum 0 --no-compile

Every side makes one turn of updates after another. PyTorch runs eagerly with dense and (without momentum, with which its
SGD knows none) with sparse embeddings, and compiled where a C++ compiler is there; the fastest of them counts. The losses
of all sides are asserted equal, before and after the turns. The last row is a whole epoch of YooChoose from the HDF5 file
to the trained weights in a file; it is left out where ../shared/data has no YooChoose. A roofline follows: the matrix
products of a step, the rate at which the machine makes some of that size, and the share of it that drn reaches.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx.parser
import onnxruntime
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from generator.caffe.prototxt import learnable, parse_net
from generator.caffe.schema import Message
from generator.codegen.artefacts import generate
from generator.onnxgraph.initialise import fill
from generator.onnxgraph.parse import parameter_shapes, parse
from generator.spec import load_spec
from generator.spec.schema import Spec
from generator.train.batches import Batch, Batches, Dropout
from generator.train.graphs import threads_for
from generator.train.learner import Learner
from generator.train.loop import train

ROOT = Path(__file__).resolve().parents[1]
LOGS = ROOT.parent / "shared" / "data" / "yoochoose-100k"
NEVER = 10**9
# How far the losses of the sides may differ, relatively: before the turns, and after some hundred updates.
EARLY, LATE = 2e-5, 1e-3

NETS: dict[str, dict[str, Any]] = {
    "M 20k, N 8k, widths 128x2, n 6, B 256": {"pages": 20_000, "items": 8_000, "n": 6, "widths": [128, 128], "B": 256},
    "M 2k, N 500, widths 64x2, n 4, B 64": {"pages": 2_000, "items": 500, "n": 4, "widths": [64, 64], "B": 64},
    "M 100k, N 50k, width 100, n 6, B 128": {"pages": 100_000, "items": 50_000, "n": 6, "widths": [100], "B": 128},
}
TARGETS = (1.5, 2.5, 1.5, 2.0)


class Net(nn.Module):
    """The RNN of a spec as its user would write it in PyTorch: columns major, one product for all columns' inputs."""

    def __init__(self, spec: Spec, weights: dict[str, np.ndarray], *, sparse: bool = False) -> None:
        super().__init__()
        self.layers, self.head, self.every, self.sparse = len(spec.rnn.widths), spec.head, spec.loss == "every", sparse
        for name, weight in weights.items():
            setattr(self, name, nn.Parameter(torch.from_numpy(weight.copy())))

    def forward(self, page, label, visit_dropout=None, top_dropout=None):
        """Return the loss; without masks, dropout draws its own."""
        page = page.T
        mask = (page > 0).float().unsqueeze(-1)
        visit = self.drop(F.embedding(page, self.page_embedding, sparse=self.sparse), visit_dropout)
        inputs = visit + self.hidden1_bias
        for layer in range(1, self.layers + 1):
            weight = getattr(self, f"hidden{layer}_recurrent_weight").T
            states = [torch.relu(inputs[0]) * mask[0]]
            for t in range(1, len(page)):
                states.append(torch.relu(torch.addmm(inputs[t], states[-1], weight)) * mask[t])
            if layer < self.layers:
                above = f"hidden{layer + 1}"
                inputs = F.linear(torch.stack(states), getattr(self, f"{above}_input_weight"), getattr(self, f"{above}_bias"))
        top, seen = (torch.cat(states), (visit * mask).flatten(0, 1)) if self.every else (states[-1], (visit * mask)[-1])
        top = self.drop(top, top_dropout)
        if self.head.projection:
            top = F.linear(top, self.projection_weight)
        if self.head.skip:
            top = top + F.linear(seen, self.skip_weight)
        output = self.page_embedding if self.head.tied else self.output_rnn_weight
        return F.cross_entropy(F.linear(top, output, self.output_bias), label.T.flatten(), ignore_index=0)

    def drop(self, values, mask):
        if self.head.dropout == 0:
            return values
        return F.dropout(values, self.head.dropout) if mask is None else values * mask.view_as(values)


class Torch:
    """A net in PyTorch and the optimizer that makes the updates of the spec's solver."""

    def __init__(self, spec: Spec, weights: dict[str, np.ndarray], *, sparse: bool = False, compiled: bool = False):
        self.net, solver = Net(spec, weights, sparse=sparse), spec.solver
        self._loss = torch.compile(self.net) if compiled else self.net
        self._rate = lambda iteration: (1 - iteration / solver.max_iter) if solver.lr_policy == "poly" else 1.0
        self._base, self._iteration = solver.base_lr, 0
        if solver.type == "Adam":
            betas = (solver.momentum, solver.momentum2)
            self._optimizer = torch.optim.Adam(self.net.parameters(), solver.base_lr, betas, solver.delta, fused=True)
        else:
            fused = {} if sparse else {"fused": True}
            self._optimizer = torch.optim.SGD(self.net.parameters(), solver.base_lr, solver.momentum, **fused)

    def step(self, blobs: dict[str, torch.Tensor]) -> float:
        """Make one update; return the loss."""
        self._optimizer.param_groups[0]["lr"] = self._base * self._rate(self._iteration)
        self._optimizer.zero_grad()
        loss = self._loss(**blobs)
        loss.backward()
        self._optimizer.step()
        self._iteration += 1
        return loss.item()


@dataclass
class Start:
    """What all sides start from: the net's artefacts and initial weights."""

    files: dict[str, bytes]
    net: Message
    weights: dict[str, np.ndarray]

    @classmethod
    def of(cls, spec: Spec) -> "Start":
        """Generate the net of ``spec`` and draw its weights."""
        files = generate(spec)
        net = parse_net(files["train_val.prototxt"].decode(), "train_val.prototxt")
        declared = parameter_shapes(parse(files["gradient.onnxtxt"].decode(), "gradient.onnxtxt"))
        shapes = {parameter.name: declared[parameter.name] for parameter in learnable(net)}
        return cls(files, net, fill(spec, learnable(net), shapes, 1))

    def learner(self, spec: Spec, threads: int) -> Learner:
        """Return drn's side, on copies of the weights."""
        from generator.caffe.prototxt import SolverParameter  # noqa: F401
        weights = {name: weight.copy() for name, weight in self.weights.items()}
        return Learner(self.files["gradient.onnx"], self.net, spec.solver, weights, threads=threads)
