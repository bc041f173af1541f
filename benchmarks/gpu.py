"""Training on a GPU: drn with --provider cuda beside PyTorch on the same card, by turns, from the same weights.

    python benchmarks/gpu.py --compiled            # needs onnxruntime-gpu, PyTorch with CUDA and a card
    python benchmarks/gpu.py --provider cpu --seconds 0.2 --rounds 2   # a dry run of the same without a card

The nets of train_speed.py and a net of Globo's size under a sampled softmax and a lazy Adam, each at its own batch size
and at --factor times that. The losses of all sides are asserted equal in the first updates. It needs no data, and
prints one table; --output writes it to a file too, line by line. All sides have weights and updates on the card and
read the loss of every update. drn reads its batches from the CPU's memory, as `drn train` does; those of PyTorch lie on
the card before it begins. --compiled adds torch.compile, which launches kernels as CUDA graphs, as drn does.
"""

import argparse
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import onnxruntime
import torch
from nets import NETS, SAMPLED, make_rows, make_sampled, make_spec
from peer_torch import Torch, tensors
from turns import Side, same_losses, table

from generator.spec.schema import Spec
from generator.training.engine.graph import check_provider
from generator.training.run.generated import Generated
from generator.training.run.rows import training_batches

BATCHES = 40
# How far the losses may differ, relatively, in the first updates: a card sums products in another order, and where
# TF32 is on PyTorch's are of 10 bits; it is switched off here.
SAME = 1e-4


def nets(factor: int) -> dict[str, Spec]:
    """Return the specs by name, each net at its own batch size and at a multiple."""
    found = {}
    for name, net in NETS.items():
        for size in dict.fromkeys([net["B"], factor * net["B"]]):
            found[name.replace(f"B {net['B']}", f"B {size}")] = make_spec({**net, "B": size}, 0.9)
    sampled = make_sampled()
    for size in dict.fromkeys([sampled.solver.batch_size, factor * sampled.solver.batch_size]):
        solver = sampled.solver.model_copy(update={"batch_size": size})
        name = SAMPLED.replace(f"B {sampled.solver.batch_size}", f"B {size}")
        found[name] = sampled.model_copy(update={"solver": solver})
    return found


def sides(spec: Spec, options: argparse.Namespace) -> list[Side]:
    """Return drn and PyTorch, eager and compiled, on the card, each after the first updates."""
    made = Generated.of(spec)
    threads = options.threads or made.threads()
    learner = made.device_learner(made.fresh(), threads=threads, provider=options.provider)
    rows = make_rows(spec, BATCHES * spec.solver.batch_size)
    ready = training_batches(spec, rows, order="file", tables=list(learner.tables)).some(0, BATCHES)
    device = "cuda" if options.provider == "cuda" else "cpu"
    on_card = [{name: blob.to(device) for name, blob in tensors(batch).items()} for batch in ready]
    ours = cycle(ready)

    def updates(step: Callable[[], float]) -> Callable[[int], float]:
        return lambda times: [step() for _ in range(times)][-1]

    def peer(name: str, *, compiled: bool) -> Side:
        torch_side, theirs = Torch(spec, made.fresh(), compiled=compiled, device=device), cycle(on_card)
        return Side(name, updates(lambda: torch_side.step(next(theirs))))

    found = [Side("drn", updates(lambda: learner.step(islice(ours, 1)))), peer("PyTorch", compiled=False)]
    if options.compiled and not spec.solver.lazy:  # torch.compile refuses the sparse gradients of the lazy Adam
        found.append(peer("PyTorch, compiled", compiled=True))
    for times in (1, 10):
        same_losses({side.name: side.turn(times) for side in found}, SAME)
    return found


def line(name: str, spec: Spec, options: argparse.Namespace) -> str:
    """Return a row: samples a second of each side, and the ratio of drn to the faster other."""
    found = sides(spec, options)
    times = max(1, round(options.seconds / found[1].turns[-1]))
    for side in found:
        side.forget()
    for _ in range(options.rounds):
        for side in found:
            side.turn(times)
    for side in found:
        print(side.told(), flush=True)
    size = spec.solver.batch_size
    speeds = [f"{size / side.median:,.0f}" for side in found]
    ratio = min(side.median for side in found[1:]) / found[0].median
    return f"| {' | '.join([name, *speeds, *['-'] * (3 - len(found)), f'{ratio:.2f}'])} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--provider", choices=["cuda", "cpu"], default="cuda", help="cpu: a dry run")
    parser.add_argument("--compiled", action="store_true", help="torch.compile too")
    parser.add_argument("--only", default="", help="the nets whose names hold this")
    parser.add_argument("--factor", type=int, default=8, help="of the larger batch; 1: none")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each side; the median counts")
    parser.add_argument("--seconds", type=float, default=1, help="about how long a turn of PyTorch takes")
    parser.add_argument("--threads", type=int, default=0, help="of onnxruntime and, on the CPU, of PyTorch")
    parser.add_argument("-o", "--output", type=Path, help="file for the table")
    options = parser.parse_args()
    check_provider(options.provider)
    torch.backends.cuda.matmul.allow_tf32 = False
    if options.threads:
        torch.set_num_threads(options.threads)
    where = torch.cuda.get_device_name() if options.provider == "cuda" else "the CPU, a dry run"
    print(f"onnxruntime {onnxruntime.__version__}, PyTorch {torch.__version__}")
    head = f"| samples/s on {where} | drn | PyTorch, eager | PyTorch, compiled | drn to the faster |"
    lines = []
    for name, spec in nets(options.factor).items():
        if options.only in name:
            print(f"{name}:", flush=True)
            lines.append(line(name, spec, options))
            if options.output:
                options.output.write_text("\n".join([head, "|---|---:|---:|---:|---:|", *lines, ""]))
    table(head, lines)


if __name__ == "__main__":
    main()
