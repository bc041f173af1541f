"""`drn sessions` beside a plain pandas script that makes the same training rows, on the simulator's log.

    pip install '.[bench]'
    python benchmarks/sessions.py
    python benchmarks/sessions.py --events 5000000 20000000 100000000

Both read the Parquet log in a process of their own, and write an HDF5 file with page, history_page and label for the
purchases of the sessions. The pages and labels they write are compared, row by row, before the times are printed.
Sides take turns, and medians are compared: on a busy machine only their ratios tell. The peak memory is that of each
process, start and imports included, as in the times.

pandas, which has the whole log in memory, runs on the smallest log. The larger ones, a round each, tell how time and
memory of `drn sessions` grow with the events; of 100 million, the rows of the target next take 15 GB while they are
timed, and the parts of the log that are spilled as much as 5 GB.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SPEC = """\
name: bench
net: rnn
pages: {pages}
items: {pages}
rnn: {{window: 4, widths: [8], history: 16}}
data: {{target: {target}}}
"""
WINDOW, HISTORY = 4, 16
PAGES = 5000  # more than the simulator's shop has
EVENTS_A_SESSION = 10.3  # of the simulator's shop
PANDAS = "pandas, purchase"


def by_pandas(log: str, folder: str) -> None:
    """Write the rows as an analyst would: sort, group, shift."""
    import h5py
    import pandas as pd

    events = pd.read_parquet(log).sort_values(["session", "time"], kind="stable")
    events = events[events["event"].isin(["view", "buy"])]
    buys = (
        events[events["event"] == "buy"].groupby("session", sort=False).first()[["time", "item"]].add_suffix("_bought")
    )
    views = events[events["event"] == "view"].join(buys, on="session", how="inner")
    views = views[views["time"] < views["time_bought"]]
    codes = pd.Index(pd.unique(events["page"].dropna()))
    views["code"] = codes.get_indexer(views["page"]) + 1
    parts = views.groupby("session", sort=False)["code"]
    shifted = np.stack([parts.shift(back).fillna(0).to_numpy(np.int32) for back in range(WINDOW + HISTORY)], axis=1)
    last = ~views["session"].duplicated(keep="last").to_numpy()
    rows = shifted[last][:, ::-1]
    label = codes.get_indexer(views["item_bought"][last]) + 1
    Path(folder).mkdir()
    with h5py.File(Path(folder) / "train.h5", "w") as file:
        file["page"], file["history_page"], file["label"] = rows[:, HISTORY:], rows[:, :HISTORY], label.astype(np.int32)
    (Path(folder) / "pages.txt").write_text("\n".join(codes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--events", type=int, nargs="+", default=[5_000_000, 20_000_000], help="sizes of the logs, about"
    )
    parser.add_argument("--rounds", type=int, default=3, help="of the smallest log")
    parser.add_argument("--pandas", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--alike", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.pandas:
        by_pandas(*options.pandas)
        return
    if options.alike:
        print(f"{alike(*map(rows_in, map(Path, options.alike))):.4f}")
        return
    for place, size in enumerate(sorted(options.events)):
        with tempfile.TemporaryDirectory(prefix="drn-bench-") as name:
            compare(Path(name), size, options.rounds if not place else 1, pandas=not place)


def simulated(folder: Path, size: int) -> Path:
    """Simulate a log of about ``size`` events, and say what it took."""
    sessions = round(size / EVENTS_A_SESSION)
    shop = ["simulate", "-o", str(folder / "log"), "--sessions", str(sessions), "--seed", "1"]
    # At most sixty sessions a user: two a day.
    shop += ["--users", str(max(20_000, sessions // 50))]
    seconds, memory = timed([sys.executable, "-m", "generator", *shop])
    print(f"drn simulate, {sessions:,} sessions: {seconds:.1f} s, {memory:,.0f} MiB")
    return folder / "log" / "events.parquet"


def compare(folder: Path, size: int, rounds: int, *, pandas: bool) -> None:
    """Time each side on a log of about ``size`` events and print a line for each."""
    import polars as pl

    log = simulated(folder, size)
    events = pl.scan_parquet(log).select(pl.len()).collect().item()
    sides = {}
    for target in ("purchase", "next"):
        (folder / f"{target}.yaml").write_text(SPEC.format(pages=PAGES, target=target))
        sides[f"drn sessions, {target}"] = [
            *(sys.executable, "-m", "generator", "sessions", str(log), "--spec", str(folder / f"{target}.yaml")),
            *("--test-users", "0.01", "--vocabulary", "all", "-o"),
        ]
    if pandas:
        sides[PANDAS] = [sys.executable, __file__, "--pandas", str(log)]
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    peak = dict.fromkeys(sides, 0.0)
    for number in range(rounds):
        for side, command in sides.items():
            spent, memory = timed([*command, str(folder / side)])
            seconds[side].append(spent)
            peak[side] = max(peak[side], memory)
            if number or not pandas:
                shutil.rmtree(folder / side)
        if pandas and not number:
            print(
                f"{events:,} events; training rows alike: {share(folder / 'drn sessions, purchase', folder / PANDAS)}"
            )
            for side in sides:
                shutil.rmtree(folder / side)
    if not pandas:
        print(f"{events:,} events")
    for side, times in seconds.items():
        middle = np.median(times)
        beside = f"{np.median(seconds[PANDAS]) / middle:5.2f} x pandas, " if pandas else ""
        print(
            f"{side:<24} {middle:7.2f} s {events / middle:12,.0f} events/s, {beside}"
            f"{peak[side]:7,.0f} MiB = {peak[side] * 2**20 / events:4.0f} bytes an event",
            flush=True,
        )


def share(drn: Path, other: Path) -> str:
    """Compare the rows of two folders, in another process: a child's peak memory is never below its parent's."""
    command = [sys.executable, __file__, "--alike", str(drn), str(other)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def timed(command: list[str]) -> tuple[float, float]:
    """Run a command; return its wall seconds and its peak memory in MiB."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - began, usage.ru_maxrss / 1024


def alike(drn: set[tuple[str, ...]], other: set[tuple[str, ...]]) -> float:
    """Return the share of drn's training rows that the other has too."""
    return len(drn & other) / len(drn)


def rows_in(folder: Path) -> set[tuple[str, ...]]:
    """Return the training rows of a folder, as pages and label by name."""
    import h5py

    names = np.array(["", *(folder / "pages.txt").read_text().split("\n")])
    items = folder / "items.txt"
    sold = np.array(["", *items.read_text().split("\n")]) if items.exists() else names
    with h5py.File(folder / "train.h5") as file:
        pages = names[np.concatenate([file["history_page"][:], file["page"][:]], axis=1)]
        labels = sold[file["label"][:]]
    return {(*row, label) for row, label in zip(pages.tolist(), labels.tolist(), strict=True)}


if __name__ == "__main__":
    main()
