"""Two checkouts of drn as servers of the same net, by turns in one run, and the plain FastAPI handler beside them.

    git worktree add /tmp/before REVISION
    python benchmarks/serve_turns.py /tmp/before                          # as many answers as they can give, 10k items
    python benchmarks/serve_turns.py /tmp/before --items 1000000 --rate 50
    python benchmarks/serve_turns.py /tmp/before --now "--workers 2"

Each checkout writes its own model, with the same drawn weights. On a machine with other work the ratios of the turns
and the CPU seconds of an answer say more than any one rate.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from serve import LOADS, Server, answering, free_port, measure, plain

HERE = Path(__file__).parents[1]
WRITE = "import sys; sys.path.insert(0, 'benchmarks'); import serve, pathlib as p; "


def start(checkout: Path, models: Path, store: Path, items: int, more: list[str]) -> Server:
    """Write the model by the code of ``checkout`` and serve it by that code."""
    call = f"serve.write_model(p.Path({str(models)!r}), {items}, {LOADS[items][0]}, 1)"
    subprocess.run([sys.executable, "-c", WRITE + call], cwd=checkout, check=True)
    port = free_port()
    command = [sys.executable, "-m", "generator", "serve", str(models), "--store", f"sqlite:///{store}"]
    return answering(Server([*command, "--port", str(port), "--no-log-requests", *more], port, checkout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="another checkout")
    parser.add_argument("--items", type=int, choices=LOADS, default=min(LOADS))
    parser.add_argument("--rate", type=float, default=0, help="visits a second; 0: as many as they can answer")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5, help="of a turn")
    parser.add_argument("--plain", action="store_true", help="beside the plain FastAPI handler")
    parser.add_argument("--now", default="", help="more options of this checkout's drn serve")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="drn-bench-") as name:
        folder, items = Path(name), options.items
        servers = {
            "before": start(options.before.resolve(), folder / "a", folder / "a.sqlite", items, []),
            "now": start(HERE, folder / "b", folder / "b.sqlite", items, options.now.split()),
        }
        if options.plain:
            servers["plain FastAPI"] = plain(folder / "b", f"sqlite:///{folder}/c.sqlite")
        try:
            turns(servers, options)
        finally:
            for server in servers.values():
                server.stop()


def turns(servers: dict[str, Server], options: argparse.Namespace) -> None:
    """Let the servers take turns, and print what each came to."""
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in servers}
    for server in servers.values():
        measure(server.port, options.items, options.rate or 200, 2)  # warm
    for number in range(options.rounds):
        for name, server in servers.items():
            began = server.cpu()
            figures = measure(server.port, options.items, options.rate, options.seconds, number + 2)
            assert not figures.failed, f"{name}: {figures.failed} requests failed"
            answers = figures.rate * options.seconds
            found[name].append((figures.rate, (server.cpu() - began) / answers * 1e6, figures.p90))
    print(f"{'server':<16} {'answers/s':>10} {'ratio':>6} {'CPU us each':>12} {'ratio':>6} {'p90 ms':>8}")
    first = found["before"]
    for name, rows in found.items():
        medians = [statistics.median(column) for column in zip(*rows, strict=True)]
        ratios = [
            statistics.median(one[place] / other[place] for one, other in zip(rows, first, strict=True))
            for place in (0, 1)
        ]
        rate, spent, p90 = medians
        print(f"{name:<16} {rate:>10,.0f} {ratios[0]:>6.2f} {spent:>12,.0f} {ratios[1]:>6.2f} {p90:>8.2f}")


if __name__ == "__main__":
    main()
