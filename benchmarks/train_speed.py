"""Training throughput of drn beside PyTorch and real Caffe: the same nets, weights and batches, by turns, in one run.

    python benchmarks/train_speed.py --rounds 15
    python benchmarks/train_speed.py --nets 1 2 --momentum 0 --no-compile --no-caffe

PyTorch runs eagerly with dense embeddings, without momentum with sparse ones too, and compiled; the fastest of them
counts. Real Caffe trains the generated prototxt. The losses of all sides are asserted equal in the first updates. Row
4 is a whole epoch of YooChoose, from the HDF5 file to a file of trained weights; without ../shared/data it is left
out. Row 5 is a net of Globo's size under a sampled softmax, on the same candidates, and the Adam that leaves rows
alone, PyTorch's SparseAdam. A roofline follows: the matrix products of a step, the rate at which the machine makes
large ones, and the share of it that drn reaches; and the floor of a step, measured: its products with nothing between
them, and what onnxruntime takes for as many nodes as the others, which do next to nothing. CPU time tells less of
what else the machine does than wall time; PyTorch's threads wait at work, so set OMP_WAIT_POLICY=passive where that
matters.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import numpy as np
from nets import NETS, NEVER, SAMPLED, make_rows, make_sampled, make_spec, write_data
from peer_caffe import ABSENT, Caffe, caffe_python
from peer_torch import Torch, compiles, tensors, torch_epoch, torch_sides
from roofline import FLOOR, ROOF, floor, roof, sgemm_rates
from turns import Side, on_threads, same_losses, table
from yoochoose import LOGS, TUNED, make_data

from generator.spec import load_spec
from generator.spec.schema import Spec
from generator.training.run.generated import Generated
from generator.training.run.loop import prefetch
from generator.training.run.rows import load_split, training_batches
from generator.training.run.train import TrainOptions, train

# How far the losses of the sides may differ, relatively, in the first updates. Later they are not compared: hundreds of
# updates on, float32 has sent some ReLU of one side another way than the other's.
SAME = 2e-5
BATCHES = 80  # of an epoch of synthetic sessions
TARGETS = (2.0, 2.5, 2.0, 2.0, 3.0)


def measure(spec: Spec, options: argparse.Namespace) -> list[Side]:
    """Return drn, PyTorch's ways and real Caffe on a net, after as many rounds by turns."""
    made = Generated.of(spec)
    threads = min(options.threads, made.threads() or NEVER)
    learner = made.learner(made.fresh(), threads=threads)
    # A whole number of batches: each epoch in file order has the same. PyTorch gets them made, the others make theirs.
    rows = make_rows(spec, BATCHES * spec.solver.batch_size)
    batches = training_batches(spec, rows, order="file", tables=list(learner.tables))
    ready = [tensors(batch) for batch in batches.some(0, BATCHES)]
    both = sorted({threads, options.threads})
    with ExitStack() as stack:
        coming = stack.enter_context(prefetch(batches, 0))
        sides = [Side("drn", lambda times: [learner.step(coming) for _ in range(times)][-1])]
        compiled = options.compile and not spec.solver.sampled  # whose rows are as many as a batch has labels
        sides += torch_sides(spec, made.fresh(), ready, compiled=compiled, threads=both)
        if options.caffe and not spec.solver.sampled:
            sides += caffe_sides(spec, rows, options.caffe, both, stack)
        same_losses({side.name: side.turn(1) for side in sides}, SAME)
        same_losses({side.name: side.turn(20) for side in sides}, SAME)
        times = max(1, round(options.seconds / sides[1].turns[-1]))
        for side in sides:
            side.forget()
        for _ in range(options.rounds):
            for side in sides:
                side.turn(times)
    return sides


def caffe_sides(
    spec: Spec, rows: dict[str, np.ndarray], python: str, threads: list[int], stack: ExitStack
) -> list[Side]:
    """Return real Caffe on the same rows from the same weights, each on so many threads, until ``stack`` ends."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    data, run = write_data(folder / "data", spec, rows), folder / "run"
    train(spec, data, run, TrainOptions(order="file", until=0))  # writes the prototxts and the first weights
    sides = []
    for each in threads:
        peer = stack.enter_context(Caffe(python, run, first_weights(spec), each))
        sides.append(Side(on_threads("Caffe", each), peer.step, lambda peer=peer: peer.cpu))
    return sides


def first_weights(spec: Spec) -> str:
    """Return the name of a run's first weights in its folder."""
    return f"snapshots/{spec.name}_iter_0.caffemodel"


def epoch_losses(spec: Spec, rows: dict[str, np.ndarray], made: Generated) -> None:
    """Assert that drn and PyTorch have the same losses on the first batches, dropout by the same masks."""
    learner, peer = made.learner(made.fresh(), threads=1), Torch(spec, made.fresh())
    for batch in training_batches(spec, rows, order="shuffle", tables=list(learner.tables)).some(0, 20):
        losses = {"drn": learner.step(iter([batch])), "PyTorch": peer.step(tensors(batch))}
    same_losses(losses, SAME)


def measure_epoch(spec: Spec, options: argparse.Namespace) -> list[Side]:
    """Return drn, PyTorch and real Caffe on an epoch of YooChoose, data loading and the file of weights included."""
    with tempfile.TemporaryDirectory() as name:
        folder, numbers, made = Path(name), count(), Generated.of(spec)
        data, weights = make_data(folder / "data"), made.fresh()
        rows = load_split(data / "train.h5", spec)
        updates = -(-len(rows["label"]) // spec.solver.batch_size)
        epoch_losses(spec, rows, made)
        first = folder / "first"
        train(spec, data, first, TrainOptions(until=0))

        def ours(_: int) -> float:
            return train(
                spec, data, folder / f"run{next(numbers)}", TrainOptions(threads=options.threads, until=updates)
            ).loss

        def torchs(threads: int) -> Callable[[int], None]:
            return lambda _: torch_epoch(spec, data, weights, folder / "weights.pt", updates, threads)

        def caffes(threads: int) -> Callable[[int], None]:
            def epoch(_: int) -> None:
                with Caffe(options.caffe, first, first_weights(spec), threads) as peer:
                    peer.step(updates)
                    peer.snapshot()

            return epoch

        both = sorted({1, options.threads})
        sides = [Side("drn", ours), *(Side(on_threads("PyTorch", each), torchs(each)) for each in both)]
        if options.caffe:
            sides.append(Side(on_threads("Caffe", options.threads), caffes(options.threads), ended_cpu))
        for _ in range(options.epochs):
            for side in sides:
                side.turn(1)
        print(f"    an epoch: {updates} updates of {spec.solver.batch_size} rows")
    return sides


def ended_cpu() -> float:
    """Return the CPU seconds of the processes that this one started and that have ended."""
    return sum(os.times()[2:4])


def mean_cpu(side: Side) -> float:
    """Return the CPU seconds of an update: of all turns, since some systems count them in hundredths."""
    return sum(side.cpu) / len(side.cpu)


def line(name: str, sides: list[Side], samples: int, target: float) -> str:
    """Return a row: drn beside the fastest of PyTorch's ways, and beside real Caffe."""
    ours, *others = sides
    for side in sides:
        print(side.told())
    torchs, caffes = ([side for side in others if side.name.startswith(peer)] for peer in ("PyTorch", "Caffe"))
    fastest = min(torchs, key=lambda side: side.median)
    ratios = [fastest.median / ours.median, min(side.best for side in torchs) / ours.best]
    ratios.append(min(map(mean_cpu, torchs)) / mean_cpu(ours))
    rates = [f"{samples / side.median:,.0f}" for side in (ours, fastest)]
    cells = [name, *rates, fastest.name, *(f"{ratio:.2f}" for ratio in ratios), f"{target}"]
    caffe = min(caffes, key=lambda side: side.median) if caffes else None
    cells += [f"{samples / caffe.median:,.0f}", f"{caffe.median / ours.median:.2f}"] if caffe else ["-", "-"]
    return f"| {' | '.join(cells)} |"


def parse_options() -> argparse.Namespace:
    """Return the options; what this machine lacks is switched off, with a line that says so."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--nets", type=int, nargs="+", default=[1, 2, 3, 4, 5], help="rows: 4 is YooChoose, 5 Globo's size"
    )
    parser.add_argument("--rounds", type=int, default=15, help="turns of each side; the median counts")
    parser.add_argument("--epochs", type=int, default=3, help="turns of each side in the row of YooChoose")
    parser.add_argument("--seconds", type=float, default=1, help="about how long a turn of PyTorch takes")
    parser.add_argument("--momentum", type=float, default=0.9, help="of SGD; 0: PyTorch's sparse embeddings take part")
    parser.add_argument("--threads", type=int, default=2, help="of each side; drn takes 1 for a small net")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True, help="torch.compile too")
    parser.add_argument("--caffe", action=argparse.BooleanOptionalAction, default=True, help="real Caffe too")
    options = parser.parse_args()
    options.caffe = caffe_python() if (wanted := options.caffe) else None
    if wanted and not options.caffe:
        print(ABSENT)
    if options.compile and not compiles():
        options.compile = False
        print("torch.compile is left out: no C++ compiler")
    if 4 in options.nets and not LOGS.is_dir():
        options.nets.remove(4)
        print(f"YooChoose is left out: {LOGS} is absent")
    return options


def main() -> None:
    """Measure every net and print the tables."""
    options = parse_options()
    lines, roofline, floors = [], [], []
    specs = {1 + place: (name, make_spec(net, options.momentum)) for place, (name, net) in enumerate(NETS.items())}
    for number, (name, spec) in {**specs, 5: (SAMPLED, make_sampled())}.items():
        if number not in options.nets:
            continue
        print(f"{name}:", flush=True)
        rates = sgemm_rates(options.threads)
        sides = measure(spec, options)
        rates = {way: max(rate, rates[way]) for way, rate in sgemm_rates(options.threads).items()}
        lines.append(line(name, sides, spec.solver.batch_size, TARGETS[number - 1]))
        roofline.append(roof(name, spec, sides[0], rates))
        floors.append(floor(name, spec, sides[0], options.threads))
    if 4 in options.nets:
        print("YooChoose, tuned:", flush=True)
        spec = load_spec(TUNED, [f"solver.snapshot={NEVER}", f"solver.test_interval={NEVER}"])
        lines.append(line("YooChoose, tuned, an epoch", measure_epoch(spec, options), 25_595, TARGETS[3]))
    table(
        "| net | drn, samples/s | fastest PyTorch, samples/s | which | ratio of medians | of best turns | "
        "of CPU time | target | real Caffe, samples/s | ratio |",
        lines,
    )
    if roofline:
        table(ROOF, roofline)
        table(FLOOR, floors)


if __name__ == "__main__":
    main()
