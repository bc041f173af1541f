"""Peers that people would pick, on the same sessions: accuracy by drn's metrics, time of training and ranking, memory.

    python benchmarks/peers.py --cache ~/.cache/drn-peers --logs yoochoose --results yoochoose.jsonl
    python benchmarks/peers.py --cache ~/.cache/drn-peers --logs globo --every 8 --limit 900 --results globo.jsonl \\
        --peers drn rnn GRU4Rec-480 SASRec-sampled

RecTools' SASRec, RecBole's GRU4Rec, NARM and CORE, GRU4Rec as its authors publish it, and drn's recurrent net in plain
PyTorch with a sampled softmax and sparse gradients, by settings of their own. Each library has an environment below
--cache, made on first use (some 1.5 GB each), and each peer runs in a process of its own, one after the other, on
--threads threads. It is given the sessions that `drn sessions` made and writes the 20 best items of each test row after
each epoch; hit rate and MRR are taken from these lists. A peer is stopped after --patience epochs without a new best,
after --epochs, or after the epoch that ends past --limit CPU seconds of training. The time of an epoch is that of all
so far, ranking left out. drn's lines are whole trainings of so many epochs, the mixture's fit and the export included;
drn-all fits the mixture in a short training first, and then trains on the newest sessions too (`--mix-from`).
Peak memory is the process's so far, data and ranking included.

--part valid is where settings are chosen: it tests on the newest tenth of the training file's sessions, and does not
read the test file but for Globo's --hours. The last table has each peer's best MRR@20, by the best of its epochs, and
the shortest of drn's trainings that reaches it, then the same for its best less a tolerance, which the last epochs'
ups and downs matter less to.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
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
# Of a script of a peer: what is installed for it; for drn nothing, it runs here.
TORCH = ["torch==2.13.0", "numpy"]
PACKAGES = {
    "drn": [],
    "rnn": TORCH,
    "gru4rec": TORCH,
    "rectools": ["torch==2.13.0", "rectools[torch]==0.19.0"],
    "recbole": ["torch==2.13.0", "numpy<2", "scipy<1.14", "pandas<2.3", "setuptools<80", "recbole==1.2.1"],
}
# The newest seven pages of a session (nine of ten have no more), batches of enough updates.
SHORT = {"MAX_ITEM_LIST_LENGTH": 7, "train_batch_size": 256, "embedding_size": 100}
GRU = {**SHORT, "hidden_size": 100, "learning_rate": 0.003}
SAS = {"session_max_len": 7, "n_factors": 100, "n_heads": 2, "n_blocks": 1, "lr": 0.003}
SAMPLED = {**SAS, "loss": "sampled_softmax", "n_negatives": 256}
RNN = {"width": 100, "dropout": 0.3, "negatives": 1024, "lr": 3e-3, "batch": 64}
# The authors' paramfiles for the whole of YooChoose's log: yoochoose_xe_shared_best, and rsc15_xe_shared_100_best less
# its momentum.
WIDE = {"width": 480, "batch": 48, "dropout": 0.2, "lr": 0.07, "negatives": 2048, "power": 0.2}
THIN = {"width": 100, "batch": 32, "dropout": 0.4, "lr": 0.2, "negatives": 2048, "power": 0.5}
# Of a peer: its script, its options.
PEERS = {
    "drn": ("drn", {"all": False}),
    "drn-all": ("drn", {"all": True}),
    "rnn": ("rnn", RNN),
    "rnn-slow": ("rnn", {**RNN, "lr": 1e-3}),
    "rnn-small": ("rnn", {**RNN, "batch": 32}),
    "GRU4Rec-480": ("gru4rec", WIDE),
    "GRU4Rec-100": ("gru4rec", THIN),
    "SASRec": ("rectools", {"model": SAS}),
    "SASRec-slow": ("rectools", {"model": {**SAS, "lr": 0.001}}),
    "SASRec-dropout": ("rectools", {"model": {**SAS, "dropout_rate": 0.5}}),
    "SASRec-deep": ("rectools", {"model": {**SAS, "n_blocks": 2, "lr": 0.001}}),
    "SASRec-gBCE": ("rectools", {"model": {**SAS, "loss": "gBCE", "n_negatives": 256, "gbce_t": 0.75}}),
    "SASRec-sampled": ("rectools", {"model": SAMPLED}),
    "SASRec-sampled-slow": ("rectools", {"model": {**SAMPLED, "lr": 0.001}}),
    "RecBole-GRU4Rec": ("recbole", {"model": "GRU4Rec", "settings": GRU}),
    "RecBole-NARM": ("recbole", {"model": "NARM", "settings": GRU}),
    "RecBole-CORE": ("recbole", {"model": "CORE", "settings": {**SHORT, "learning_rate": 0.001}}),
    "SASRec-defaults": ("rectools", {}),
    "RecBole-GRU4Rec-defaults": ("recbole", {"model": "GRU4Rec"}),
}
BLOCK = 4096  # test rows that are read, and cut, at a time
OURS = ("drn", "drn-all")
TOLERANCE = 0.002  # of MRR@20, in the summary
HOUR = 3_600_000  # ms, as Globo's times
SHOWN = ("HR@20", "MRR@20")


def environment(cache: Path, script: str) -> str:
    """Return the Python of a peer, installed in a folder of its own on first use."""
    packages = PACKAGES[script]
    if not packages:
        return sys.executable
    folder = cache / ("torch" if packages is TORCH else script)
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


def make_data(log: str, folder: Path, options: argparse.Namespace) -> Path:
    """Write the data folder of a log for its tuned spec, and return it."""
    name, form, train, test, spec = DATA[log]
    train, test = LOGS / name / train, LOGS / name / test
    if log == "globo" and options.hours:
        train = newest(train, test, options.hours, folder.with_name("newest.parquet"))
    command = [sys.executable, "-m", "generator", "sessions", train, "--log-format", form, "-o", folder]
    command += ["--test", test] if options.part == "test" else ["--test-share", "0.1"]
    command += ["--spec", SPECS / spec]
    subprocess.run(command, check=True, cwd=HERE.parent, stdout=subprocess.DEVNULL)
    return folder


def write_sessions(data: Path, path: Path, every: int) -> np.ndarray:
    """Write the sessions of a data folder for the peers; return the labels of the test rows, one of ``every``."""
    with SplitRows(data, "train") as train, SplitRows(data, "test") as test:
        trained = train.sessions()
        batches = list(test.batches(BLOCK))
        seen = [test.seen(each.session[::every], each.position[::every]) for each in batches]
        length = np.concatenate([np.diff(each.offset) for each in seen])
        np.savez(
            path,
            train_offset=trained.offset,
            train_page=trained.page,
            test_offset=np.concatenate([[0], np.cumsum(length)]),
            test_page=np.concatenate([each.page for each in seen]),
            items=len(train.items),
        )
        return np.concatenate([each.label[::every] for each in batches])


def run(peer: str, cache: Path, sessions: Path, folder: Path, options: dict) -> Iterator[dict]:
    """Yield what a peer reports of each epoch, as it comes; it ends where the peer fails, and ends it where closed."""
    script = PEERS[peer][0]
    python = environment(cache, script)
    paths = os.pathsep.join([str(HERE), str(HERE.parent)]) if script == "drn" else str(HERE)
    command = [python, str(HERE / f"peer_{script}.py"), str(sessions), str(folder), json.dumps(options)]
    with (folder / "errors").open("w") as errors:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": str(options["threads"])},
        )
        try:
            for line in process.stdout:
                if line.startswith("{"):
                    yield json.loads(line)
        except GeneratorExit:
            process.kill()
            process.wait()
            raise
    if process.wait():
        print(f"{peer} failed:\n{(folder / 'errors').read_text()[-2000:]}")


def figures(lists: Path, label: np.ndarray) -> dict[str, float]:
    """Return the mean metrics of the lists of a peer; a row whose label is in no list is a miss."""
    hit = np.load(lists) == label[:, None]
    rank = np.where(hit.any(1) & (label > 0), hit.argmax(1) + 1.0, np.inf)
    return dict(zip(METRICS, values(rank).mean(0).tolist(), strict=True))


def epochs(peer: str, seed: int, folder: Path, label: np.ndarray, options: argparse.Namespace) -> Iterator[dict]:
    """Yield what a peer took for each epoch, and its metrics, until they have not risen for --patience epochs."""
    more = {name: getattr(options, name) for name in ("threads", "epochs", "limit", "every", "set")} | {"seed": seed}
    if peer in OURS:
        more |= {"data": str(folder / "data"), "spec": str(SPECS / options.spec), "epochs": options.drn_epochs}
    here = folder / f"{peer}-{seed}"
    here.mkdir()
    best, since = 0.0, 0
    reports = run(peer, options.cache, folder / "sessions.npz", here, {**PEERS[peer][1], **more})
    for each in reports:
        metrics = figures(Path(each.pop("lists")), label)
        yield {"peer": peer, "seed": seed, **each, **{name: metrics[name] for name in SHOWN}}
        best, since = max(best, metrics["MRR@20"]), 0 if metrics["MRR@20"] > best else since + 1
        if peer not in OURS and since == options.patience:
            reports.close()


def measure(log: str, options: argparse.Namespace, folder: Path) -> Iterator[dict]:
    """Yield a row for each epoch of each peer."""
    data = make_data(log, folder / "data", options)
    options.spec = DATA[log][4]
    label = write_sessions(data, folder / "sessions.npz", options.every)
    print(f"{log}: {len(label):,} test rows, {(label == 0).sum():,} of items that training lacks", flush=True)
    name = log if options.part == "test" else f"{log}, valid"
    name += f", {options.hours} hours" if log == "globo" and options.hours else ""
    for seed in options.seeds:
        for peer in options.peers:
            called = " ".join([peer, *options.set]) if peer in OURS else peer
            for each in epochs(peer, seed, folder, label, options):
                row = {"log": name, **each, "peer": called}
                print(cells(row), flush=True)
                yield row


def cells(row: dict) -> str:
    """Return a line of the table of epochs."""
    found = [row["log"], row["peer"], f"{row['seed']}", f"{row['epoch']:g}", *(f"{row[name]:.4f}" for name in SHOWN)]
    found += [f"{seconds:.1f}" for seconds in (*row["train"], *row["rank"])]
    found.append(f"{row['peak']:,.0f}")
    return f"| {' | '.join(found)} |"


def spread(found: list[float]) -> str:
    """Return the mean of the seeds with the half of its 95 % interval by Student's t, where there are three or more."""
    mean = f"{statistics.mean(found):.4f}"
    quantile = {3: 4.30, 4: 3.18, 5: 2.78}.get(len(found))
    return f"{mean} ± {quantile * statistics.stdev(found) / len(found) ** 0.5:.4f}" if quantile else mean


def reached(curves: dict[int, list[dict]], least: float) -> float | None:
    """Return the mean CPU seconds after which each seed had an MRR@20 of ``least``; None if one never had."""
    times = [min((row["train"][1] for row in each if row["MRR@20"] >= least), default=None) for each in curves.values()]
    return statistics.mean(times) if times and None not in times else None


def summary(rows: list[dict]) -> list[str]:
    """Return a line for each log and peer: its best epoch, and how long drn takes to be as good, and nearly so."""
    curves: dict[tuple[str, str], dict[int, list[dict]]] = {}
    for row in rows:
        curves.setdefault((row["log"], row["peer"]), {}).setdefault(row["seed"], []).append(row)
    lines = []
    for (log, peer), seeds in curves.items():
        best = [max(mine, key=lambda row: row["MRR@20"]) for mine in seeds.values()]
        level = statistics.mean(row["MRR@20"] for row in best)
        took = statistics.mean(row["train"][1] for row in best)
        ended = "/".join(
            f"{row['epoch']:g} of {mine[-1]['epoch']:g}" for row, mine in zip(best, seeds.values(), strict=True)
        )
        found = [log, peer, ended, *(spread([row[name] for row in best]) for name in SHOWN), f"{took:.0f}"]
        found.append(f"{statistics.mean(row['peak'] for row in best):,.0f}")
        ours = [curves[log, each] for each in OURS if (log, each) in curves]
        nearly = reached(seeds, min(row["MRR@20"] for row in best) - TOLERANCE)
        for peers, least in ((took, level), (nearly, level - TOLERANCE)):
            drn = min((cpu for each in ours if (cpu := reached(each, least)) is not None), default=None)
            found += ["-"] * 2 if peer.startswith("drn") or drn is None else [f"{drn:.1f}", f"{peers / drn:.1f}"]
        lines.append(f"| {' | '.join(found)} |")
    return lines


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder of the peers' environments")
    parser.add_argument("--logs", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS), help="none: the tables alone")
    parser.add_argument("--part", choices=["test", "valid"], default="test", help="what is tested on")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--epochs", type=int, default=50, help="of each peer, at most")
    parser.add_argument("--patience", type=int, default=2, help="epochs in a row without a new best that end a peer")
    parser.add_argument("--limit", type=float, default=400, help="CPU seconds after which a peer begins no epoch")
    parser.add_argument("--hours", type=int, default=0, help="of Globo's sessions before the test; 0: all")
    parser.add_argument(
        "--every", type=int, default=1, choices=[2**k for k in range(8)], help="test row that is ranked"
    )
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
        "| log | peer | seed | epochs | HR@20 | MRR@20 | train, s | CPU s | rank, s | CPU s | peak, MiB |",
        [cells(row) for row in rows],
    )
    table(
        "| log | peer | best epoch | HR@20 | MRR@20 | train, CPU s | peak, MiB | drn as good, CPU s | times | "
        f"within {TOLERANCE}, CPU s | times |",
        summary(rows),
    )


if __name__ == "__main__":
    main()
