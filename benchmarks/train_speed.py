"""Training throughput of drn beside PyTorch: the same nets, weights and batches, by turns, in one run.

    python benchmarks/train_speed.py --rounds 15
    python benchmarks/train_speed.py --nets 1 2 --momentum 0 --no-compile

PyTorch runs eagerly with dense embeddings, without momentum with sparse ones too, and compiled; the fastest of them
counts. The losses of all sides are asserted equal, before and after the turns. The last row is a whole epoch of
YooChoose, from the HDF5 file to a file of trained weights; without ../shared/data it is left out. A roofline follows:
the matrix products of a step, the rate at which the machine makes large ones, and the share of it that drn reaches.
CPU time tells less of what else the machine does than wall time; PyTorch's threads wait at work, so set
OMP_WAIT_POLICY=passive where that matters.
"""

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count, cycle, islice, pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx.parser
import onnxruntime
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name
from yoochoose import LOGS, TUNED, make_data

from generator.caffe.prototxt import learnable, parse_net, read_solver
from generator.caffe.schema import Message
from generator.codegen.artefacts import generate
from generator.onnxgraph.initialise import fill
from generator.onnxgraph.parse import parameter_shapes, parse
from generator.spec import load_spec
from generator.spec.schema import Spec
from generator.train.batches import Batch, Batches, Dropout, load_split
from generator.train.graphs import threads_for
from generator.train.iterations import ahead
from generator.train.learner import Learner
from generator.train.loop import train

NEVER = 10**9
# How far the losses of the sides may differ, relatively: before the turns, and after them. Thousands of updates on,
# float32 has sent some ReLU of one side another way than the other's.
EARLY, LATE = 2e-5, 2e-2

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
        page, label = page.mT, label.mT if self.every else label
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
        output = self.page_embedding if self.head.tied else self.output_rnn_weight
        return F.cross_entropy(F.linear(top, output, self.output_bias), label.flatten(), ignore_index=0)

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
        self._base, self._delta, self._iteration = solver.base_lr, solver.delta, 0
        if solver.type == "Adam":
            betas = (solver.momentum, solver.momentum2)
            self._optimizer = torch.optim.Adam(self.net.parameters(), solver.base_lr, betas, solver.delta, fused=True)
        else:
            fused = {} if sparse else {"fused": True}
            self._optimizer = torch.optim.SGD(self.net.parameters(), solver.base_lr, solver.momentum, **fused)

    def step(self, blobs: dict[str, torch.Tensor]) -> float:
        """Make one update; return the loss."""
        group = self._optimizer.param_groups[0]
        group["lr"] = self._base * self._rate(self._iteration)
        if "eps" in group:  # Caffe adds delta before the bias is corrected, PyTorch after
            group["eps"] = self._delta / math.sqrt(1 - group["betas"][1] ** (self._iteration + 1))
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
        with tempfile.TemporaryDirectory() as name:
            path = Path(name, "solver.prototxt")
            path.write_bytes(self.files["solver.prototxt"])
            solver = read_solver(path)
        weights = {name: weight.copy() for name, weight in self.weights.items()}
        return Learner(self.files["gradient.onnx"], self.net, solver, weights, threads=threads)


class Side:
    """One side of a row: a function that makes updates and returns the loss of the last, and what its turns took.

    Attributes
    ----------
    turns, cpu
        Seconds of an update in each turn, and the CPU seconds of all threads.
    """

    def __init__(self, name: str, updates: Callable[[int], float], threads: int) -> None:
        self.name, self._updates, self._threads = name, updates, threads
        self.turns: list[float] = []
        self.cpu: list[float] = []

    def turn(self, updates: int) -> float:
        """Make some updates, and note how long one took; return the loss of the last."""
        torch.set_num_threads(self._threads)
        start, cpu = time.perf_counter(), time.process_time()
        loss = self._updates(updates)
        self.turns.append((time.perf_counter() - start) / updates)
        self.cpu.append((time.process_time() - cpu) / updates)
        return loss

    def forget(self) -> None:
        """Forget the turns."""
        self.turns, self.cpu = [], []

    @property
    def median(self) -> float:
        return statistics.median(self.turns)

    @property
    def best(self) -> float:
        return min(self.turns)


def make_spec(net: dict[str, Any], momentum: float) -> Spec:
    """Return the spec of a net: the paper's RNN with the loss at the last state, trained by SGD."""
    solver = {"base_lr": 0.005, "momentum": momentum, "max_iter": NEVER, "batch_size": net["B"]}
    rnn = {"window": net["n"], "widths": net["widths"]}
    table = {"table": {"type": "gaussian", "std": 0.1}}
    fields = {"name": "bench", "net": "rnn", "pages": net["pages"], "items": net["items"], "rnn": rnn, "init": table}
    return Spec.model_validate({**fields, "solver": solver})


def make_rows(spec: Spec, rows: int) -> dict[str, np.ndarray]:
    """Return synthetic sessions: pages by Zipf's law, the label by the newest page."""
    rng = np.random.default_rng(1)
    rank = 1 / np.arange(1, spec.pages + 1)
    page = rng.choice(np.arange(1, spec.pages + 1), (rows, spec.window), p=rank / rank.sum())
    page[np.arange(spec.window) < rng.integers(0, spec.window, rows)[:, None]] = 0
    return {"page": page.astype(np.int32), "label": (page[:, -1] % spec.items + 1).astype(np.int32)}


def tensors(batch: Batch) -> dict[str, torch.Tensor]:
    """Return the blobs of a batch for PyTorch."""
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in batch.blobs.items()}


def same_losses(sides: dict[str, float], tolerance: float) -> None:
    """Assert that all sides have the same loss."""
    print("    loss: " + ", ".join(f"{name} {loss:.6f}" for name, loss in sides.items()), flush=True)
    ours = sides["drn"]
    assert all(abs(loss - ours) <= tolerance * ours for loss in sides.values()), "the sides do not train the same net"


def torch_sides(
    spec: Spec, start: Start, ready: list[dict[str, torch.Tensor]], *, compiled: bool, threads: list[int]
) -> list[Side]:
    """Return the ways in which PyTorch makes the same updates, each on so many threads."""
    ways: dict[str, dict[str, bool]] = {"PyTorch": {}}
    if spec.solver.momentum == 0:
        ways["PyTorch, sparse"] = {"sparse": True}
    if compiled:
        ways["PyTorch, compiled"] = {"compiled": True}

    def updates(peer: Torch) -> Callable[[int], float]:
        coming = cycle(ready)
        return lambda times: [peer.step(blobs) for blobs in islice(coming, times)][-1]

    return [
        Side(f"{name}, {each} thread{'s' * (each > 1)}", updates(Torch(spec, start.weights, **way)), each)
        for name, way in ways.items()
        for each in threads
    ]


def measure(spec: Spec, options: argparse.Namespace) -> list[Side]:
    """Return drn and PyTorch's ways on a net, after as many rounds by turns."""
    start = Start.of(spec)
    shapes = {name: weight.shape for name, weight in start.weights.items()}
    threads = min(options.threads, threads_for(shapes, spec.solver.batch_size, spec.window, every=False) or NEVER)
    learner = start.learner(spec, threads)
    # A whole number of batches: each epoch in file order has the same. PyTorch gets them made, drn makes its own.
    batches = Batches(
        make_rows(spec, 80 * spec.solver.batch_size), spec.solver.batch_size, order="file", tables=list(learner.tables)
    )
    ready = [tensors(batch) for batch in batches.some(0, 80)]
    both = sorted({threads, options.threads})
    others = torch_sides(spec, start, ready, compiled=options.compile, threads=both)
    with ahead(batches, 0) as coming:
        sides = [Side("drn", lambda times: [learner.step(coming) for _ in range(times)][-1], threads), *others]
        same_losses({side.name: side.turn(1) for side in sides}, EARLY)
        same_losses({side.name: side.turn(20) for side in sides}, EARLY)
        times = max(1, round(options.seconds / sides[1].turns[-1]))
        for side in sides:
            side.forget()
        for _ in range(options.rounds):
            for side in sides:
                side.turn(times)
        same_losses({side.name: side.turn(1) for side in sides}, LATE)
    return sides


def epoch_losses(spec: Spec, rows: dict[str, np.ndarray], start: Start) -> None:
    """Assert that both sides have the same losses on the first batches, dropout by the same masks."""
    learner, peer = start.learner(spec, 1), Torch(spec, start.weights)
    batches = Batches(rows, spec.solver.batch_size, seed=1, tables=list(learner.tables), dropout=Dropout.of(spec))
    for batch in batches.some(0, 20):
        losses = {"drn": learner.step(iter([batch])), "PyTorch": peer.step(tensors(batch))}
    same_losses(losses, EARLY)


def torch_epoch(spec: Spec, data: Path, weights: dict[str, np.ndarray], file: Path, updates: int) -> None:
    """Train for an epoch in PyTorch, from the HDF5 file to a file of weights; compiling would take longer than that."""
    with h5py.File(data / "train.h5") as split:
        rows = {name: torch.from_numpy(split[name][()].astype(np.int64)) for name in ("page", "label")}
    peer = Torch(spec, weights)
    size = spec.solver.batch_size
    order = torch.randperm(len(rows["page"])).repeat(2)
    for k in range(updates):
        taken = order[k * size : (k + 1) * size]
        peer.step({name: array[taken] for name, array in rows.items()})
    torch.save(peer.net.state_dict(), file)


def measure_epoch(spec: Spec, options: argparse.Namespace) -> list[Side]:
    """Return drn and PyTorch on an epoch of YooChoose, data loading and the file of weights included."""
    with tempfile.TemporaryDirectory() as name:
        folder, numbers, start = Path(name), count(), Start.of(spec)
        data = make_data(folder / "data")
        rows = load_split(data / "train.h5", spec)
        updates = -(-len(rows["label"]) // spec.solver.batch_size)
        epoch_losses(spec, rows, start)

        def ours(_: int) -> float:
            return train(spec, data, folder / f"run{next(numbers)}", threads=options.threads, until=updates).loss

        def theirs(_: int) -> float:
            torch_epoch(spec, data, start.weights, folder / "weights.pt", updates)
            return 0.0

        sides = [Side("drn", ours, 1), Side("PyTorch, 1 thread", theirs, 1)]
        if options.threads > 1:
            sides.append(Side(f"PyTorch, {options.threads} threads", theirs, options.threads))
        for _ in range(options.epochs):
            for side in sides:
                side.turn(1)
        print(f"    an epoch: {updates} updates of {spec.solver.batch_size} rows")
    return sides


def gflop(spec: Spec) -> float:
    """Return the products and sums, in 10⁹, of a step's matrix products: forward, and twice as much backward."""
    widths = spec.rnn.widths
    hidden = sum(a * a for a in widths) + sum(a * b for a, b in pairwise(widths))
    return 3 * 2 * spec.solver.batch_size * (spec.window * hidden + (spec.items + 1) * widths[-1]) / 1e9


def sgemm_rates(threads: int, size: int = 1024, times: int = 15) -> dict[str, float]:
    """Return the best GFLOP/s of a square product in numpy (all cores) and in onnxruntime."""
    a = np.random.default_rng(1).random((size, size), np.float32)
    graph = '<ir_version: 8, opset_import: ["": 18]> g (float[N, N] a) => (float[N, N] y) { y = Gemm (a, a) }'
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    model = onnx.parser.parse_model(graph).SerializeToString()
    session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    ways = {"numpy": lambda: a @ a, "onnxruntime": lambda: session.run(None, {"a": a})}
    sides = {name: Side(name, lambda _, way=way: way() is None, threads) for name, way in ways.items()}
    for _ in range(times):
        for side in sides.values():
            side.turn(1)
    return {name: 2 * size**3 / side.best / 1e9 for name, side in sides.items()}


def table(head: str, lines: list[str]) -> None:
    """Print a Markdown table."""
    print("\n" + "\n".join([head, "|---" + "|---:" * (head.count("|") - 2) + "|", *lines]), flush=True)


def main() -> None:
    """Measure every net and print one table, and the roofline."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", type=int, nargs="+", default=[1, 2, 3, 4], help="rows: 1, 2, 3, and 4 is YooChoose")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each side; the median counts")
    parser.add_argument("--epochs", type=int, default=3, help="turns of each side in the row of YooChoose")
    parser.add_argument("--seconds", type=float, default=1, help="about how long a turn of PyTorch takes")
    parser.add_argument("--momentum", type=float, default=0.9, help="of SGD; 0: PyTorch's sparse embeddings take part")
    parser.add_argument("--threads", type=int, default=2, help="of each side; drn takes 1 for a small net")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True, help="torch.compile too")
    options = parser.parse_args()
    lines, roofline = [], []
    for number, (name, net) in enumerate(NETS.items(), 1):
        if number not in options.nets:
            continue
        print(f"{name}:", flush=True)
        spec = make_spec(net, options.momentum)
        rates = sgemm_rates(options.threads)
        ours, *others = measure(spec, options)
        rates = {way: max(rate, rates[way]) for way, rate in sgemm_rates(options.threads).items()}
        lines.append(line(name, ours, others, spec.solver.batch_size, TARGETS[number - 1]))
        reached = [gflop(spec) / seconds for seconds in (ours.median, ours.best)]
        top = max(rates.values())
        roofline.append(
            f"| {name} | {gflop(spec):.2f} | {rates['numpy']:.0f} / {rates['onnxruntime']:.0f} | {reached[0]:.0f} | "
            f"{reached[1]:.0f} | {reached[0] / top:.0%} / {reached[1] / top:.0%} |"
        )
    if 4 in options.nets:
        if LOGS.is_dir():
            print("YooChoose, tuned:", flush=True)
            spec = load_spec(
                TUNED,
                ["solver.snapshot=1000000", "solver.test_interval=1000000"],
            )
            ours, *others = measure_epoch(spec, options)
            lines.append(line("YooChoose, tuned, an epoch", ours, others, 25_595, TARGETS[3]))
        else:
            print(f"YooChoose is left out: {LOGS} is absent")
    table(
        "| net | drn, samples/s | fastest PyTorch, samples/s | which | ratio of medians | of best turns | "
        "of CPU time, best | target |",
        lines,
    )
    if roofline:
        table("| net | GFLOP a step | sgemm, numpy / onnxruntime | drn, GFLOP/s, median | best | share |", roofline)


def line(name: str, ours: Side, others: list[Side], samples: int, target: float) -> str:
    """Return a row: drn beside the fastest of the others."""
    other = min(others, key=lambda side: side.median)
    for side in (ours, *others):
        cpu = statistics.median(side.cpu)
        print(
            f"    {side.name}: median {side.median * 1e3:.2f} ms, best {side.best * 1e3:.2f} ms, CPU {cpu * 1e3:.2f} ms"
        )
    ratios = [other.median / ours.median, min(side.best for side in others) / ours.best]
    ratios.append(min(min(side.cpu) for side in others) / min(ours.cpu))
    rates = [f"{samples / side.median:,.0f}" for side in (ours, other)]
    return f"| {' | '.join([name, *rates, other.name, *(f'{ratio:.2f}' for ratio in ratios), str(target)])} |"


if __name__ == "__main__":
    main()
