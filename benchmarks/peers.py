"""Peers that people would pick, on the same sessions: accuracy by drn's metrics, time of training and ranking, memory.

    python benchmarks/peers.py --cache ~/.cache/drn-peers
    python benchmarks/peers.py --cache ~/.cache/drn-peers --logs globo --peers drn rnn --epochs 3

RecTools' SASRec and RecBole's GRU4Rec, NARM and CORE by settings that suit short sessions and few cores, two of them
by their own defaults too, and the recurrent net in plain PyTorch with a sampled softmax and sparse gradients. Each
library has an environment of its own below --cache, made on first use (some 1.5 GB each), and each peer runs in a
process of its own, one after the other, on --threads threads. It is given the sessions that `drn sessions` made and
writes the 20 best items of each test row after each epoch; hit rate and MRR are taken from these lists. A peer is
stopped after --epochs, or after the epoch that ends past --limit CPU seconds of training. The time of an epoch is
that of all so far, ranking left out. drn's lines are whole trainings of so many epochs, the mixture's fit and the
export included. Peak memory is the process's so far, data and ranking included. The last table has each peer's best
MRR@20, and the shortest of drn's trainings that reaches it.

Of Globo all train on the sessions of the last --hours before the test. --results keeps what was measured in a file:
later runs add to it, and the tables are of all that it holds.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl
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
RECTOOLS = [TORCH, "rectools[torch]==0.19.0"]
# The width of drn's spec, the newest seven pages of a session (nine of ten have no more), batches of enough updates.
SHORT = {"MAX_ITEM_LIST_LENGTH": 7, "train_batch_size": 256, "embedding_size": 100}
GRU = {**SHORT, "hidden_size": 100, "learning_rate": 0.003}
SAS = {"session_max_len": 7, "n_factors": 100, "n_heads": 2, "n_blocks": 1, "lr": 0.003}
PEERS = {
    "drn": ("drn", [], {"set": []}),
    "rnn": ("rnn", [TORCH, "numpy"], {"width": 100, "dropout": 0.3, "negatives": 1024, "lr": 3e-3, "batch": 64}),
    "SASRec": ("rectools", RECTOOLS, {"model": SAS}),
    "GRU4Rec": ("recbole", RECBOLE, {"model": "GRU4Rec", "settings": GRU}),
    "NARM": ("recbole", RECBOLE, {"model": "NARM", "settings": GRU}),
    "CORE": ("recbole", RECBOLE, {"model": "CORE", "settings": {**SHORT, "learning_rate": 0.001}}),
    "SASRec-defaults": ("rectools", RECTOOLS, {}),
    "GRU4Rec-defaults": ("recbole", RECBOLE, {"model": "GRU4Rec"}),
}
BLOCK = 4096  # test rows that are read, and cut, at a time
HOUR = 3_600_000  # ms, as Globo's times
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


def newest(train: Path, test: Path, hours: int, path: Path) -> Path:
    """Write Globo's clicks of the sessions that began in the last hours before the test, and return their file."""
    time, session = pl.col("click_timestamp"), "session_id"
    first = pl.read_parquet(test)["click_timestamp"].min()
    began = time.min().over(session)
    pl.read_parquet(train).filter(began >= first - hours * HOUR).write_parquet(path)
    return path


def make_data(log: str, folder: Path, hours: int) -> Path:
    """Write the data folder of a log for its tuned spec, and return it."""
    name, form, train, test, spec = DATA[log]
    train, test = LOGS / name / train, LOGS / name / test
    if log == "globo" and hours:
        train = newest(train, test, hours, folder.with_name("newest.parquet"))
    command = [sys.executable, "-m", "generator", "sessions", train, "--test", test]
    command += ["--log-format", form, "--spec", SPECS / spec, "-o", folder]
    subprocess.run(command, check=True, cwd=HERE.parent, stdout=subprocess.DEVNULL)
    return folder


def write_sessions(data: Path, path: Path, most: int) -> np.ndarray:
    """Write the sessions of a data folder for the peers; return the labels of the test rows, the first ``most``."""
    with SplitRows(data, "train") as train, SplitRows(data, "test") as test:
        batches = list(islice(test.batches(BLOCK), -(-most // BLOCK) or None))
        trained = train.sessions()
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
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": str(options["threads"])},
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


def measure(log: str, options: argparse.Namespace, folder: Path) -> Iterator[dict]:
    """Yield a row for each epoch of each peer."""
    data = make_data(log, folder / "data", options.hours)
    label = write_sessions(data, folder / "sessions.npz", options.test_rows)
    print(f"{log}: {len(label):,} test rows, {(label == 0).sum():,} of items that training lacks", flush=True)
    for peer in options.peers:
        script, packages, settings = PEERS[peer]
        python = environment(options.cache, script, packages)
        here = folder / peer
        here.mkdir()
        more = {"threads": options.threads, "epochs": options.epochs, "limit": options.limit}
        if peer == "drn":
            more |= {"data": str(data), "spec": str(SPECS / DATA[log][4]), "epochs": options.drn_epochs}
            more["set"] = options.set
        for each in run(peer, python, folder / "sessions.npz", here, {**settings, **more}):
            metrics = figures(Path(each.pop("lists")), label)
            row = {"log": log, "peer": peer, **each, **{name: metrics[name] for name in SHOWN}}
            print(cells(row), flush=True)
            yield row


def cells(row: dict) -> str:
    """Return a line of the table of epochs."""
    found = [row["log"], row["peer"], f"{row['epoch']:g}", *(f"{row[name]:.4f}" for name in SHOWN)]
    found += [f"{seconds:.1f}" for seconds in (*row["train"], *row["rank"])]
    found.append(f"{row['peak']:,.0f}")
    return f"| {' | '.join(found)} |"


def summary(rows: list[dict]) -> list[str]:
    """Return a line for each log and peer: its best epoch, and the shortest of drn's trainings that is as good."""
    lines = []
    for log, peer in dict.fromkeys((row["log"], row["peer"]) for row in rows):
        mine = [row for row in rows if (row["log"], row["peer"]) == (log, peer)]
        best = max(mine, key=lambda row: row["MRR@20"])
        found = [log, peer, f"{best['epoch']:g} of {mine[-1]['epoch']:g}", *(f"{best[name]:.3f}" for name in SHOWN)]
        found += [f"{best['train'][1]:.0f}", f"{best['rank'][1]:.1f}", f"{best['peak']:,.0f}"]
        ours = [row for row in rows if (row["log"], row["peer"]) == (log, "drn") and row["MRR@20"] >= best["MRR@20"]]
        if peer == "drn" or not ours:
            found += ["-"] * 3
        else:
            drn = min(ours, key=lambda row: row["train"][1])
            times = best["train"][1] / drn["train"][1]
            found += [f"{drn['train'][1]:.1f}", f"{times:.1f}", f"{best['peak'] / drn['peak']:.1f}"]
        lines.append(f"| {' | '.join(found)} |")
    return lines


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder of the peers' environments")
    parser.add_argument("--logs", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS), help="none: the tables alone")
    parser.add_argument("--epochs", type=int, default=20, help="of each peer, at most")
    parser.add_argument("--limit", type=float, default=300, help="CPU seconds after which a peer begins no epoch")
    parser.add_argument("--hours", type=int, default=48, help="of Globo's sessions before the test; 0: all")
    parser.add_argument("--test-rows", type=int, default=0, help="the first so many, in 4,096s; 0: all")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of every side")
    parser.add_argument("--results", type=Path, metavar="JSONL", help="what was measured, before and now")
    parser.add_argument("--drn-epochs", type=float, nargs="+", default=[0.5, 1, 2, 4], help="of drn's trainings")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="changes of drn's tuned spec")
    return parser.parse_args()


def main() -> None:
    options = parse_options()
    options.cache = options.cache.expanduser().resolve()
    rows = []
    if options.results and options.results.exists():
        rows = [json.loads(line) for line in options.results.read_text().splitlines()]
    for log in options.logs if options.peers else ():
        if not (LOGS / DATA[log][0]).is_dir():
            print(f"{log} is left out: {LOGS / DATA[log][0]} is absent")
            continue
        with tempfile.TemporaryDirectory(prefix="drn-peers-") as name:
            for row in measure(log, options, Path(name)):
                rows.append(row)
                if options.results:
                    with options.results.open("a") as file:
                        file.write(json.dumps(row) + "\n")
    table(
        "| log | peer | epochs | HR@20 | MRR@20 | train, s | CPU s | rank, s | CPU s | peak, MiB |",
        [cells(row) for row in rows],
    )
    table(
        "| log | peer | best epoch | HR@20 | MRR@20 | train, CPU s | rank, CPU s | peak, MiB | drn as good, CPU s | "
        "times | memory, times |",
        summary(rows),
    )


if __name__ == "__main__":
    main()
