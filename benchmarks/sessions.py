"""`drn sessions` beside a plain pandas script that makes the same training rows, on the simulator's log.

    pip install pandas pyarrow
    python benchmarks/sessions.py --sessions 500000

Both read the Parquet log in a process of their own, and write an HDF5 file with page, history_page and label for the
purchases of the sessions. The pages and labels they write are compared, row by row, before the times are printed.
Sides take turns, and medians are compared: on a busy machine only their ratios tell. The peak memory is that of each
process, start and imports included, as in the times.
"""

import argparse
import os
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
    parser.add_argument("--sessions", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pandas", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.pandas:
        by_pandas(*options.pandas)
        return
    with tempfile.TemporaryDirectory(prefix="drn-bench-") as name:
        folder = Path(name)
        shop = ["simulate", "-o", str(folder / "log"), "--sessions", str(options.sessions), "--seed", "1"]
        # At most sixty sessions a user: two a day.
        shop += ["--users", str(max(20_000, options.sessions // 50))]
        subprocess.run([sys.executable, "-m", "generator", *shop], check=True, stdout=subprocess.DEVNULL)
        compare(folder, options.rounds)


def compare(folder: Path, rounds: int) -> None:
    import polars as pl

    log = folder / "log" / "events.parquet"
    events = pl.scan_parquet(log).select(pl.len()).collect().item()
    pages = pl.scan_parquet(log).select(pl.col("page").n_unique()).collect().item()
    sides = {}
    for target in ("purchase", "next"):
        (folder / f"{target}.yaml").write_text(SPEC.format(pages=pages, target=target))
        sides[f"drn sessions, {target}"] = [
            *(sys.executable, "-m", "generator", "sessions", str(log), "--spec", str(folder / f"{target}.yaml")),
            *("--test-users", "0.01", "--vocabulary", "all", "-o"),
        ]
    sides["pandas, purchase"] = [sys.executable, __file__, "--pandas", str(log)]
    seconds, peak = {side: [] for side in sides}, dict.fromkeys(sides, 0.0)
    for number in range(rounds):
        for side, command in sides.items():
            spent, memory = timed([*command, str(folder / f"{side}{number}")])
            seconds[side].append(spent)
            peak[side] = max(peak[side], memory)
    print(
        f"{events:,} events; rows alike: {alike(folder / 'drn sessions, purchase0', folder / 'pandas, purchase0'):.4f}"
    )
    plain = np.median(seconds["pandas, purchase"])
    for side, spent in seconds.items():
        middle = np.median(spent)
        print(
            f"{side:<24} {middle:7.2f} s {events / middle:12,.0f} events/s, {plain / middle:5.2f} x pandas, "
            f"{peak[side]:7,.0f} MiB = {peak[side] * 2**20 / events:4.0f} bytes an event"
        )


def timed(command: list[str]) -> tuple[float, float]:
    """Run a command; return its wall seconds and its peak memory in MiB."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - began, usage.ru_maxrss / 1024


def alike(drn: Path, other: Path) -> float:
    """Return the share of drn's training rows, as pages and label by name, that the other has too."""
    return len(rows_in(drn) & rows_in(other)) / len(rows_in(drn))


def rows_in(folder: Path) -> set[tuple[str, ...]]:
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
