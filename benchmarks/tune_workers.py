"""`drn tune` with two workers against one, by turns, beside two searches that know nothing of each other.

    python benchmarks/tune_workers.py --rounds 3 --folder build/tables

A round searches the table's space on the simulated shop with one worker, the same with two, and with one worker twice
at once: what two cores give to work that waits for nothing. `busy` is the share of the workers' time that they train;
what else the machine does spoils the seconds, but hardly that.
"""

import argparse
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tune import SEARCHES, planned_as, shown
from tune_table import TABLE, place, planned, prepared

from generator.jobs.workers import Processes
from generator.tuning.individual import rows_in
from generator.tuning.run import tune


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=20_000, help="of the simulator")
    parser.add_argument("--cost", type=int, default=6, help="whole trainings of a search")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--search", choices=SEARCHES, default="surrogate")
    parser.add_argument("--folder", type=Path, default=Path("build/tables"), help="data, kept")
    options = parser.parse_args()
    kind, folder = place("simulator", options.folder)
    data = prepared(kind, "simulator", options.sessions, folder)
    plan = planned(kind, TABLE, folder, epochs=3)

    def search(seed: int, workers: int) -> tuple[float, float]:
        """Return the seconds of a search, and the share of its workers' time that they trained."""
        wanted = planned_as(plan, options.search, seed, options.cost, None)
        with tempfile.TemporaryDirectory(dir=folder) as run, Processes(workers) as engine:
            list(engine.map(rows_in, [folder / "none"] * workers))  # they start, and import what they need
            begun = time.perf_counter()
            result = tune(wanted, data, Path(run) / "run", engine=engine, cuts=folder / "cuts")
            seconds = time.perf_counter() - begun
        return seconds, result.work_seconds / (workers * seconds)

    print(f"{os.cpu_count()} cores, of which others took {os.getloadavg()[0]:.1f} in the last minute")
    rows = []
    for seed in range(1, options.rounds + 1):
        (one, busy), (two, both) = search(seed, 1), search(seed, 2)
        begun = time.perf_counter()
        with ThreadPoolExecutor(2) as at_once:
            list(at_once.map(search, (seed, seed), (1, 1)))
        pair = time.perf_counter() - begun
        rows.append((one / two, 2 * one / pair, busy, both))
        print(f"seed {seed}: {one:.1f} s, two workers {two:.1f} s, two searches at once {pair:.1f} s", flush=True)
    names = ("two workers are faster by", "two searches at once by", "busy, one worker", "busy, two workers")
    for name, values in zip(names, np.array(rows).T, strict=True):
        print(f"{name:<28}{shown(values)}")


if __name__ == "__main__":
    main()
