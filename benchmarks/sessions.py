"""`drn sessions` beside a plain pandas script that makes the same training rows, on the simulator's log and on Globo's.

    pip install '.[bench]'
    python benchmarks/sessions.py
    python benchmarks/sessions.py --events 5000000 20000000 100000000
    python benchmarks/sessions.py --events --globo

Both read the Parquet log in a process of their own, and write the same arrays to HDF5: page, history_page with its
aging factors and label for the purchases of the sessions, the session and position of each row, and the sessions to cut
other windows from. Their pages and labels are compared, row by row, before the times are printed.
Sides take turns, and medians are compared: on a busy machine only their ratios tell. The peak memory is that of each
process, start and imports included, as in the times.

--globo reads ../shared/data/globo, two million clicks whose users, sessions and articles are whole numbers, and its
test file. Beside what pandas does, drn checks every row, parts the users or the files, keeps what users bought before
each session, and waits until all is on disk.

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
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

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
GLOBO = Path(__file__).resolve().parents[2] / "shared" / "data" / "globo"


def by_pandas(log: str, folder: str) -> None:
    """Write the rows of the purchases as an analyst would: sort, group, shift."""
    import pandas as pd

    events = in_order(pd.read_parquet(log), ["session"], "time")
    events = events[events["event"].isin(["view", "buy"])]
    buys = (
        events[events["event"] == "buy"].groupby("number", sort=False).first()[["time", "item"]].add_suffix("_bought")
    )
    views = events[events["event"] == "view"].join(buys, on="number", how="inner")
    views = views[views["time"] < views["time_bought"]]
    names = by_frequency(events["page"].dropna())
    views["code"] = names.get_indexer(views["page"]) + 1
    last = ~views["number"].duplicated(keep="last").to_numpy()
    label = names.get_indexer(views["item_bought"][last]) + 1
    Path(folder).mkdir()
    write(Path(folder) / "train.h5", views, "user", range(WINDOW + HISTORY), last, label)
    (Path(folder) / "pages.txt").write_text("\n".join(names))


def clicks_by_pandas(folder: str, *logs: str) -> None:
    """Write the rows of Globo's two files: every click after a session's first is a label."""
    import pandas as pd

    Path(folder).mkdir()
    names = None
    for name, log in zip(("train", "test"), logs, strict=True):
        clicks = in_order(pd.read_parquet(log), ["user_id", "session_id"], "click_timestamp")
        clicks["time"] = clicks["click_timestamp"] / 1000
        names = by_frequency(clicks["click_article_id"]) if names is None else names
        clicks["code"] = names.get_indexer(clicks["click_article_id"]) + 1
        later = clicks["number"].duplicated().to_numpy()
        label = clicks["code"].to_numpy()[later]
        write(Path(folder) / f"{name}.h5", clicks, "user_id", range(1, WINDOW + HISTORY + 1), later, label)
    (Path(folder) / "pages.txt").write_text("\n".join(map(str, names)))


def in_order(events: "pd.DataFrame", session: list[str], time: str) -> "pd.DataFrame":
    """Return events sorted by the start of their session, then by time, with the ``number`` of their session."""
    events = events.sort_values([*session, time], kind="stable")
    parts = events.groupby(session, sort=False)
    events["number"], events["start"] = parts.ngroup(), parts[time].transform("first")
    events = events.sort_values(["start", "number"], kind="stable")
    events["number"] = (events["number"] != events["number"].shift()).cumsum() - 1
    return events


def by_frequency(pages: "pd.Series") -> "pd.Index":
    """Return the distinct pages, the most frequent first, ties by name."""
    counts = pages.value_counts()
    return counts.index[np.lexsort((counts.index.astype(str), -counts.to_numpy()))]


def write(file: Path, views: "pd.DataFrame", user: str, back: range, rows: np.ndarray, label: np.ndarray) -> None:
    """Write the blobs of the ``rows`` among the views, which see the views so far ``back``, and the sessions."""
    import h5py

    parts = views.groupby("number", sort=False)
    views["dwell"] = (-parts["time"].diff(-1)).clip(lower=1).fillna(1).astype(np.float32)
    page = [parts["code"].shift(state, fill_value=0).to_numpy(np.int32)[rows] for state in back]
    dwell = [parts["dwell"].shift(state, fill_value=0).to_numpy(np.float64)[rows] for state in back[WINDOW:]]
    since = np.cumsum(dwell, axis=0)
    aging = np.divide(dwell, since, out=np.zeros_like(since), where=since > 0).astype(np.float32)
    number = views["number"].to_numpy()
    with h5py.File(file, "w") as target:
        target["page"], target["history_page"] = (
            np.stack(page[WINDOW - 1 :: -1], 1),
            np.stack(page[: WINDOW - 1 : -1], 1),
        )
        target["history_weight"], target["label"] = np.ascontiguousarray(aging[::-1].T), label.astype(np.int32)
        target["rows/session"] = number[rows].astype(np.int32)
        target["rows/position"] = (parts.cumcount().to_numpy()[rows] + 1 - back[0]).astype(np.int32)
        target["rows/unknown"] = (label == 0).astype(np.uint8)
        target["sessions/page"], target["sessions/dwell"] = views["code"].to_numpy(np.int32), views["dwell"].to_numpy()
        target["sessions/offset"] = np.flatnonzero(np.diff(number, prepend=-1, append=-1))
        opening = views[~views["number"].duplicated()]
        target["sessions/start"] = opening["time"].to_numpy()
        target["sessions/user"] = opening[user].factorize()[0].astype(np.int32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--events", type=int, nargs="*", default=[5_000_000, 20_000_000], help="sizes of the logs, about"
    )
    parser.add_argument("--globo", action="store_true", help="the clicks of ../shared/data/globo too")
    parser.add_argument("--rounds", type=int, default=3, help="of the smallest log, and of Globo's")
    parser.add_argument("--pandas", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--clicks", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--alike", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.pandas:
        by_pandas(*options.pandas)
        return
    if options.clicks:
        *logs, folder = options.clicks
        clicks_by_pandas(folder, *logs)
        return
    if options.alike:
        print(f"{alike(*map(rows_in, map(Path, options.alike))):.4f}")
        return
    for place, size in enumerate(sorted(options.events)):
        with tempfile.TemporaryDirectory(prefix="drn-bench-") as name:
            compare(Path(name), size, options.rounds if not place else 1, pandas=not place)
    if options.globo:
        with tempfile.TemporaryDirectory(prefix="drn-bench-") as name:
            compare_clicks(Path(name), options.rounds)


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
    turns(folder, sides, events, rounds, PANDAS if pandas else None, "drn sessions, purchase")


def compare_clicks(folder: Path, rounds: int) -> None:
    """Time each side on Globo's clicks, the later file the test part, and print a line for each."""
    import polars as pl

    logs = [str(log) for log in sorted(GLOBO.glob("clicks_hours_*.parquet"))]
    if len(logs) != 2:
        sys.exit(f"Globo's clicks are not here: {GLOBO} is absent")
    (folder / "next.yaml").write_text(SPEC.format(pages=40_000, target="next"))
    sides = {
        "drn sessions, next": [
            *(sys.executable, "-m", "generator", "sessions", logs[0], "--test", logs[1], "--columns"),
            "user=user_id,session=session_id,page=click_article_id,time=click_timestamp",
            *("--spec", str(folder / "next.yaml"), "-o"),
        ],
        "pandas, next": [sys.executable, __file__, "--clicks", *logs],
    }
    events = pl.scan_parquet(logs).select(pl.len()).collect().item()
    turns(folder, sides, events, rounds, "pandas, next", "drn sessions, next")


def turns(folder: Path, sides: dict[str, list[str]], events: int, rounds: int, beside: str | None, like: str) -> None:
    """Time the sides by turns, each command with the folder to write at its end, and print a line for each.

    Their speeds are told as multiples of that of the side ``beside``, whose rows are compared with those of ``like``.
    """
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    peak = dict.fromkeys(sides, 0.0)
    for number in range(rounds):
        for side, command in sides.items():
            spent, memory = timed([*command, str(folder / side)])
            seconds[side].append(spent)
            peak[side] = max(peak[side], memory)
            if number or not beside:
                shutil.rmtree(folder / side)
        if beside and not number:
            print(f"{events:,} events; training rows alike: {share(folder / like, folder / beside)}")
            for side in sides:
                shutil.rmtree(folder / side)
    if not beside:
        print(f"{events:,} events")
    for side, times in seconds.items():
        middle = np.median(times)
        faster = f"{np.median(seconds[beside]) / middle:5.2f} x pandas, " if beside else ""
        print(
            f"{side:<24} {middle:7.2f} s {events / middle:12,.0f} events/s, {faster}"
            f"{peak[side]:7,.0f} MiB = {peak[side] * 2**20 / events:4.0f} bytes an event",
            flush=True,
        )


def share(drn: Path, other: Path) -> str:
    """Compare the rows of two folders, in another process: a child's peak memory is never below its parent's."""
    command = [sys.executable, __file__, "--alike", str(drn), str(other)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def timed(command: list[str]) -> tuple[float, float]:
    """Run a command; return its wall seconds and its peak memory in MiB."""
    # As installed: drn's modules are compiled once, as those of pandas are.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
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
