"""Peers that people would pick, on the same sessions: accuracy by drn's metrics, time of training and ranking, memory.

    python benchmarks/peers.py --cache ~/.cache/drn-peers
    python benchmarks/peers.py --cache ~/.cache/drn-peers --logs globo --peers drn rnn --epochs 3

RecTools' SASRec, RecBole's GRU4Rec, NARM and CORE, each at its own settings, and the recurrent net in plain PyTorch
with a sampled softmax and sparse gradients. Each peer has an environment of its own below --cache, made on first use
(some 1.5 GB each), and runs in a process of its own, one after the other. It is given the sessions that `drn sessions`
made and writes the 20 best items of each test row after each epoch; hit rate and MRR are taken from these lists. The
time of an epoch is that of all so far, ranking left out. drn's lines are whole trainings of so many epochs, the
mixture's fit and the export included. Peak memory is the process's so far, data and ranking included.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from turns import table

from generator.evaluation.metrics import METRICS, values
from generator.evaluation.rows import SplitRows

HERE = Path(__file__).resolve().parent
LOGS = HERE.parents[1] / "shared" / "data"
SPECS = HERE.parent / "arch_specs"
# Of a log: its folder below LOGS, its format, training and test files, the tuned spec.
DATA = {
    "yoochoose": ("yoochoose-100k", "session-rec", "train_full.tsv.gz", "test.tsv.gz", "yoochoose-tuned.yaml"),
    "globo": ("globo", "globo", "clicks_hours_000_224.parquet", "clicks_hours_225_239.parquet", "globo-tuned.yaml"),
}
# Of a peer: its script, what is installed for it (nothing: it runs here), its options.
TORCH = "torch==2.13.0"
RECBOLE = [TORCH, "numpy<2", "scipy<1.14", "pandas<2.3", "setuptools<80", "recbole==1.2.1"]
PEERS = {
    "drn": ("drn", [], {"set": []}),
    "rnn": ("rnn", [TORCH, "numpy"], {"width": 100, "dropout": 0.3, "negatives": 1024, "lr": 3e-3, "batch": 64}),
    "SASRec": ("rectools", [TORCH, "rectools[torch]==0.19.0"], {}),
    "GRU4Rec": ("recbole", RECBOLE, {"model": "GRU4Rec"}),
    "NARM": ("recbole", RECBOLE, {"model": "NARM"}),
    "CORE": ("recbole", RECBOLE, {"model": "CORE"}),
}
SHOWN = ("HR@20", "MRR@20")


def environment(cache: Path, script: str, packages: list[str]) -> str:
    """Return the Python of a peer, installed in a folder of its own on first use."""
    if not packages:
        return sys.executable
    folder = cache / script
    python, done = folder / "bin" / "python", folder / "complete"
    if not done.exists():
        print(f"installing {', '.join(packages)} in {folder}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        done.touch()
    return str(python)


def make_data(log: str, folder: Path) -> Path:
    """Write the data folder of a log for its tuned spec, and return it."""
    name, form, train, test, spec = DATA[log]
    command = [sys.executable, "-m", "generator", "sessions", LOGS / name / train, "--test", LOGS / name / test]
    command += ["--log-format", form, "--spec", SPECS / spec, "-o", folder]
    subprocess.run(command, check=True, cwd=HERE.parent, stdout=subprocess.DEVNULL)
    return folder


def write_sessions(data: Path, path: Path) -> np.ndarray:
    """Write the sessions of a data folder for the peers; return the labels of the test rows."""
    with SplitRows(data, "train") as train, SplitRows(data, "test") as test:
        trained, batches = train.sessions(), list(test.batches(4096))
        seen = [batch.seen for batch in batches]
        length = np.concatenate([np.diff(each.offset) for each in seen])
        np.savez(
            path,
            train_offset=trained.offset,
            train_page=trained.page,
            test_offset=np.concatenate([[0], np.cumsum(length)]),
            test_page=np.concatenate([each.page for each in seen]),
            items=len(train.items),
        )
        return np.concatenate([batch.label for batch in batches])


def run(peer: str, python: str, sessions: Path, folder: Path, options: dict) -> Iterator[dict]:
    """Yield what a peer reports of each epoch, as it comes; it ends where the peer fails."""
    script = HERE / f"peer_{PEERS[peer][0]}.py"
    paths = os.pathsep.join([str(HERE), str(HERE.parent)]) if python == sys.executable else str(HERE)
    command = [python, str(script), str(sessions), str(folder), json.dumps(options)]
    with (folder / "errors").open("w") as errors:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": paths},
        )
        for line in process.stdout:
            if line.startswith("{"):
                yield json.loads(line)
    if process.wait():
        print(f"{peer} failed:\n{(folder / 'errors').read_text()[-2000:]}")


def figures(lists: Path, label: np.ndarray) -> dict[str, float]:
    """Return the mean metrics of the lists of a peer; a row whose label is in no list is a miss."""
    hit = np.load(lists) == label[:, None]
    rank = np.where(hit.any(1) & (label > 0), hit.argmax(1) + 1.0, np.inf)
    return dict(zip(METRICS, values(rank).mean(0).tolist(), strict=True))


def measure(log: str, options: argparse.Namespace, folder: Path) -> list[str]:
    """Return a line an epoch of each peer."""
    data = make_data(log, folder / "data")
    label = write_sessions(data, folder / "sessions.npz")
    print(f"{log}: {len(label):,} test rows, {(label == 0).sum():,} of items that training lacks", flush=True)
    lines = []
    for peer in options.peers:
        _, packages, settings = PEERS[peer]
        python = environment(options.cache, PEERS[peer][0], packages)
        here = folder / peer
        here.mkdir()
        if peer == "drn":
            more = {"data": str(data), "spec": str(SPECS / DATA[log][4]), "epochs": options.drn_epochs}
            more["set"] = options.set
        else:
            more = {"epochs": options.epochs}
        for each in run(peer, python, folder / "sessions.npz", here, {**settings, **more}):
            metrics = figures(Path(each["lists"]), label)
            cells = [log, peer, f"{each['epoch']:g}", *(f"{metrics[name]:.4f}" for name in SHOWN)]
            cells += [*(f"{seconds:.1f}" for seconds in (*each["train"], *each["rank"])), f"{each['peak']:,.0f}"]
            lines.append(f"| {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder of the peers' environments")
    parser.add_argument("--logs", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--epochs", type=int, default=5, help="of each peer")
    parser.add_argument("--drn-epochs", type=float, nargs="+", default=[1, 2, 4], help="of drn's trainings")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="changes of drn's tuned spec")
    options = parser.parse_args()
    options.cache = options.cache.expanduser().resolve()
    lines = []
    for log in options.logs:
        if not (LOGS / DATA[log][0]).is_dir():
            print(f"{log} is left out: {LOGS / DATA[log][0]} is absent")
            continue
        with tempfile.TemporaryDirectory(prefix="drn-peers-") as name:
            lines += measure(log, options, Path(name))
    table("| log | peer | epochs | HR@20 | MRR@20 | train, s | CPU s | rank, s | CPU s | peak, MiB |", lines)


if __name__ == "__main__":
    main()
