"""Beyond one machine: one worker against two on this one, and what that says of a cluster.

    python benchmarks/scale_out.py
    python benchmarks/scale_out.py --items 20000 --width 128 --batch-size 512 --steps 60

Training: updates of one replica and of two, one core each, in turns, the best of each; the bytes that are summed in an
update; and, to explain them, what a row costs, what Caffe's update of the weights costs, and how fast gloo sums.
Sessions: one process against Ray on the same Parquet files. Then a projection to --workers machines, --events events
and --projected-items items, by a model whose constants are those measured, and whose assumptions are printed with it:
arithmetic, not a measurement.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import ray

from generator.data.build import Options, build
from generator.scale.gloo import Gloo, rendezvous
from generator.scale.replica import follow
from generator.scale.sessions import listed, read_on_ray
from generator.shop.simulator import Shop, simulate
from generator.spec.schema import Solver, Spec
from generator.training.engine.dense_group import DenseGroup, UpdateFactors
from generator.training.engine.solver import Rule
from generator.training.run.train import TrainOptions, train

WARM = 5  # updates that are not counted
CORES = 2  # of the Ray that is measured
SUMS = 3  # of an update: the loss, the dense parameters, a table


class Timed(Gloo):
    """A Gloo that notes when its updates end, and how long it was at sums."""

    def __init__(self, rank: int, size: int, store: object) -> None:
        super().__init__(rank, size, store)
        self.seconds, self.marks = 0.0, []

    def all_reduce(self, array: np.ndarray) -> None:
        begun = time.perf_counter()
        super().all_reduce(array)
        self.seconds += time.perf_counter() - begun
        if array.size == 2:  # the loss: the first sum of an update
            self.marks.append((time.perf_counter(), self.bytes, self.seconds))


@dataclass(frozen=True)
class Update:
    """Of an update: its seconds, the seconds at sums (waiting included), the bytes of a replica that are summed."""

    seconds: float
    at_sums: float
    bytes: float


@ray.remote(num_cpus=1, runtime_env={"env_vars": {"OMP_NUM_THREADS": "1"}})
class Bench:
    """A replica that is measured."""

    def host(self) -> tuple[str, int]:
        address = ray.util.get_node_ip_address()
        self.store = rendezvous(address, 0, first=True)
        return address, self.store.port

    def join(self, rank: int, size: int, address: tuple[str, int]) -> None:
        self.rank = rank
        self.exchange = Timed(rank, size, rendezvous(*address, first=False) if rank else self.store)

    def train(self, spec: Spec, data: Path, run: Path) -> Update:
        if self.rank:
            follow(spec, data, self.exchange, TrainOptions(threads=1))
        else:
            train(spec, data, run, TrainOptions(threads=1), exchange=self.exchange)
        marks = np.diff(np.array(self.exchange.marks)[WARM:], axis=0)
        seconds, sizes, at_sums = np.median(marks, axis=0)
        return Update(seconds, at_sums, sizes)

    def update(self, solver: Solver, elements: int, times: int) -> float:
        """Return the median seconds of Caffe's update of so many weights, after their gradients are taken up."""
        weight = {"weight": np.ones((elements // 64, 64), np.float32)}
        dense, spent = DenseGroup(weight, [weight], Rule(solver), UpdateFactors()), []
        for iteration in range(times):
            begun = time.perf_counter()
            dense.add()
            dense.squares()
            dense.update(iteration, solver.base_lr, 1.0)
            spent.append(time.perf_counter() - begun)
        return float(np.median(spent))

    def sum(self, size: int, times: int) -> float:
        """Return the median seconds of the sum of ``size`` bytes."""
        array, spent = np.ones(size // 4, np.float32), []
        for _ in range(times):
            begun = time.perf_counter()
            self.exchange.all_reduce(array)
            array.fill(1.0)
            spent.append(time.perf_counter() - begun)
        return float(np.median(spent))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=200_000, help="of the simulated log")
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=40, help="updates measured")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=64, help="machines of the projection")
    parser.add_argument("--cores", type=int, default=1, help="cores of such a machine that train")
    parser.add_argument("--network", type=float, default=10.0, help="Gbit/s between them")
    parser.add_argument("--events", type=float, default=1e9)
    parser.add_argument("--projected-items", type=float, default=1e7)
    options = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    print(f"{os.cpu_count()} cores, of which others took {os.getloadavg()[0]:.1f} in the last minute")
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        home = Path(folder)
        simulate(home / "log", Shop(sessions=options.sessions, items=options.items, users=options.sessions // 8))
        ray.init(num_cpus=CORES, object_store_memory=500 * 2**20, include_dashboard=False, log_to_driver=False)
        try:
            cut = sessions(home, spec_of(options, options.batch_size), options)
            (home / "runs").mkdir()
            learned = training(home, options)
        finally:
            ray.shutdown()
    project(options, cut, learned)


def spec_of(options: argparse.Namespace, batch_size: int) -> Spec:
    """Return the net that is measured: the paper's rnn, with its output over all items."""
    steps = WARM + options.steps + 2
    return Spec.model_validate(
        {
            "name": "scale",
            "net": "rnn",
            "pages": 2 * options.items + 100,
            "items": options.items,
            "rnn": {"window": 4, "widths": [options.width]},
            "init": {"table": {"type": "gaussian"}},
            "solver": {
                "batch_size": batch_size,
                "max_iter": steps,
                "snapshot": 10 * steps,
                "test_interval": 10 * steps,
                "clip_gradients": 5,
            },
        }
    )


@dataclass(frozen=True)
class Cut:
    """Of cutting a log: its events, seconds of one process, of Ray's tasks on two cores, of the driver after them."""

    events: int
    here: float
    tasks: float
    driver: float


def sessions(home: Path, spec: Spec, options: argparse.Namespace) -> Cut:
    """Cut the log here and on Ray; print and return what that took."""
    events = pl.read_parquet(home / "log/events.parquet")
    parts, files = 8, home / "parts"
    files.mkdir()
    step = -(-events.height // parts)
    for part in range(parts):
        events[part * step : (part + 1) * step].write_parquet(files / f"{part}.parquet")
    paths, urls = sorted(files.iterdir()), listed(str(files))
    spent: list[tuple[float, float, float]] = []
    marks: list[float] = []

    def reader() -> object:
        read = read_on_ray(urls, [], Options(), spec)
        marks.append(time.perf_counter())
        return read

    for _ in range(options.rounds + 1):  # the first starts Ray's processes
        begun = time.perf_counter()
        build(paths, home / "data", spec, Options())
        middle = time.perf_counter()
        build(paths, home / "on-ray", spec, Options(), reader=reader)
        spent.append((middle - begun, marks[-1] - middle, time.perf_counter() - marks[-1]))
    here, tasks, driver = (min(column) for column in zip(*spent[1:], strict=True))
    same = (home / "data/train.h5").read_bytes() == (home / "on-ray/train.h5").read_bytes()
    print(f"sessions: {events.height:,} events in {parts} Parquet files; the same train.h5: {same}")
    print(f"  one process       {here:6.2f} s  {events.height / here:12,.0f} events/s")
    print(f"  Ray, two cores    {tasks + driver:6.2f} s  {events.height / (tasks + driver):12,.0f} events/s", end="")
    print(f"  ({tasks:.2f} s of tasks and the merge, {driver:.2f} s of numbering and writing)")
    return Cut(events.height, here, tasks, driver)


@dataclass(frozen=True)
class Learned:
    """The constants of the model.

    Attributes
    ----------
    row
        Seconds of a row's forward and backward pass on one core.
    update
        Seconds of Caffe's update of the output's weights.
    call, byte
        Seconds of a sum beside its bytes, and of a byte of it, between two replicas on this machine.
    """

    row: float
    update: float
    call: float
    byte: float


def training(home: Path, options: argparse.Namespace) -> Learned:
    """Measure and print updates of one replica and of two, and what they are made of."""
    size, data = options.batch_size, home / "data"
    runs: dict[str, list[Update]] = {"one": [], "two": [], "apart": []}
    for _ in range(options.rounds):
        for name, workers in (("one", 1), ("two", 2)):
            runs[name].append(together(workers, updates, spec_of(options, size), data, home / "runs"))
        runs["apart"].append(apart(spec_of(options, size // 2), data, home / "runs"))
    one, two, alone = (min(found, key=lambda update: update.seconds) for found in runs.values())
    small, large = 4096, 16 * 2**20
    call, long = (together(2, summed, size, 30) for size in (small, large))
    byte = max(0.0, long - call) / (large - small)
    solver, elements = spec_of(options, size).solver, options.items * options.width
    update = together(1, lambda team: ray.get(team[0].update.remote(solver, elements, 30)))
    row = (one.seconds - update) / size
    print(f"training: {options.items:,} items, width {options.width}, {size} rows an update, one core a replica")
    for name, found in (("one replica", one), ("two replicas", two)):
        print(f"  {name:16}{1e3 * found.seconds:8.1f} ms an update {size / found.seconds:10,.0f} rows/s")
    print(
        f"  speed-up {one.seconds / two.seconds:.2f}; {two.bytes / 2**20:.2f} MiB of a replica are summed an update, ",
        end="",
    )
    print(f"{1e3 * two.at_sums:.1f} ms, waiting included")
    print(f"  at most {one.seconds / alone.seconds:.2f} here: two that exchange nothing, half the rows each, ", end="")
    print(f"at the same time, take {1e3 * alone.seconds:.1f} ms")
    return Learned(row, update, call, byte)


def together(workers: int, work: Callable[..., Any], *arguments: object) -> Any:
    """Return what ``work`` makes of a team of replicas."""
    team = [Bench.remote() for _ in range(workers)]
    try:
        address = ray.get(team[0].host.remote())
        ray.get([replica.join.remote(rank, workers, address) for rank, replica in enumerate(team)])
        return work(team, *arguments)
    finally:
        for replica in team:
            ray.kill(replica)


def updates(team: list, spec: Spec, data: Path, runs: Path) -> Update:
    with tempfile.TemporaryDirectory(dir=runs) as run:
        return ray.get([replica.train.remote(spec, data, Path(run) / "run") for replica in team])[0]


def apart(spec: Spec, data: Path, runs: Path) -> Update:
    """Return the slower update of two replicas, each a team of its own."""
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(together, 1, updates, spec, data, runs) for _ in range(2)]
        return max((each.result() for each in both), key=lambda update: update.seconds)


def summed(team: list, size: int, times: int) -> float:
    return ray.get([replica.sum.remote(size, times) for replica in team])[0]


def project(options: argparse.Namespace, cut: Cut, learned: Learned) -> None:
    """Print the model, its constants, its assumptions and what it says."""
    items, workers, width = options.projected_items, options.workers, options.width
    size = options.batch_size * workers
    products = width * (options.items + 10 * width)  # a row's: the output over all items, and the recurrence
    product = learned.row / products
    dense = width * options.items
    element = learned.update / dense
    byte = max(learned.byte, 8 / (options.network * 1e9))
    rows = options.events / 10
    row = product * width * (items + 10 * width) / options.cores
    update = element * width * items
    bytes_ = 4 * width * items
    exchange = 2 * (workers - 1) / workers * bytes_ * byte + SUMS * learned.call * np.log2(workers)
    one = options.batch_size * row + update
    many = one + exchange
    machines = workers * options.cores
    tasks = CORES * cut.tasks / cut.events * options.events / machines / 3600
    driver = cut.driver / cut.events * options.events / 3600
    print(f"""
projection: {workers} workers, {options.events:,.0f} events, {items:,.0f} items; arithmetic, not a measurement
  measured above:
    {1e9 * product:.3f} ns a weight of the output, forward and back, for a row, on one core
    {1e9 * element:.2f} ns a weight of the output in an update
    {1e6 * learned.call:.0f} us a sum, and {1e-9 / max(learned.byte, 1e-12):.2f} GB/s, between two processes here
  model: seconds of an update = B/W x row + update + 2 (W-1)/W x bytes / rate + {SUMS} x call x log2 W
  assumed:
    - B grows with W: {options.batch_size} rows a worker, {size:,} an update; whether that learns as well is not said
    - cores like this one, {options.cores} a worker, and as fast on a net of any size
    - {options.network:g} Gbit/s between all workers at once; the slower of it and gloo above counts
    - the softmax is over all items, so a row costs in proportion to them
    - no worker waits for another; reading, snapshots and test passes cost nothing
    - every tenth event makes a row: {rows:,.0f} rows an epoch
    - sessions: a task's time is in proportion to its events, and so is the driver's, which is one process
  it says:
    a worker needs {16 * width * items / 2**30:,.0f} GiB for the output's weights, history, gradients and sums alone
    one worker   {one:10.2f} s an update {rows / options.batch_size * one / 3600:12,.1f} h an epoch
    {workers:2d} workers   {many:10.2f} s an update {rows / size * many / 3600:12,.1f} h an epoch
                 {exchange:10.2f} s of it to sum {bytes_ / 2**30:.2f} GiB; speed-up {workers * one / many:.1f}
    sessions     {60 * tasks:10.2f} min of tasks on {machines} cores, then {60 * driver:.2f} min of the driver
                 whose memory holds 17 bytes an event, {17 * options.events / 2**30:,.0f} GiB, and the sessions""")


if __name__ == "__main__":
    main()
