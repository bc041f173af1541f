"""What `drn serve --index` could take of faiss: CPU seconds to build, memory, recall and time of a query, on one core.

    python benchmarks/index.py --items 1000000                     # the drawn net of serve.py
    python benchmarks/index.py RUN --data DATA --copies 33         # a trained net, its rows copied with noise
    python benchmarks/index.py RUN --data DATA --only codes hnsw

Each index is asked for candidates alone, which are then scored exactly: recall is of the exact 20 best. The drawn net
has no groups of items, which is hard on those that look at some groups; a trained one has, and popular items in all.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray
from serve import LOADS, write_model

from generator.model.codes import ItemCodes
from generator.model.model import Model

TOP, QUERIES, NOISE = 20, 400, 0.3  # NOISE of a copy: in standard deviations of its column
Rows = NDArray[np.float32]


def rows_and_queries(model: Model, blobs: dict[str, NDArray]) -> tuple[Rows, Rows]:
    """Return the rows of the output layer and what the net makes of sessions, as drn's own index is asked."""
    index, asked, near = model.index, [], model.index._near
    index._near = lambda query: asked.append(query.copy()) or near(query)
    model.scores(blobs)
    return index._rows, np.concatenate(asked)[:QUERIES]


def drawn(folder: Path, items: int) -> tuple[Rows, Rows]:
    """Return those of the net that serve.py serves, for sessions as it draws them."""
    write_model(folder, items, LOADS[items][0], 1)
    model = Model(folder, index=True)
    pages = np.random.default_rng(1).zipf(1.2, (QUERIES, model.sizes["page"])) % items + 1
    blobs = {name: np.zeros((QUERIES, size), np.float32) for name, size in model.sizes.items()}
    return rows_and_queries(model, {**blobs, "page": pages})


def trained(run: Path, data: Path, copies: int) -> tuple[Rows, Rows]:
    """Return those of a run for its test sessions; its rows and copies of them."""
    import h5py

    model = Model(run, index=True)
    with h5py.File(data / "test.h5") as file:
        step = max(len(file["label"]) // QUERIES, 1)
        blobs = {name: file[name][::step][:QUERIES] for name in model.sizes}
    rows, queries = rows_and_queries(model, blobs)
    draw, spread = np.random.default_rng(0), rows.std(axis=0) * NOISE
    moved = [rows + draw.normal(size=rows.shape) * spread for _ in range(copies - 1)]
    return np.concatenate([rows, *moved], dtype=np.float32), queries


def factory(description: str, **parameters: int) -> Callable[[Rows], faiss.Index]:
    """Return what builds an index by faiss' description of it."""

    def build(rows: Rows) -> faiss.Index:
        width = rows.shape[1]
        index = faiss.index_factory(
            width, description.format(width=width, pairs=width // 2), faiss.METRIC_INNER_PRODUCT
        )
        index.train(rows[np.random.default_rng(0).permutation(len(rows))[:65_536]])
        for name, value in parameters.items():
            faiss.ParameterSpace().set_index_parameter(index, name, value)
        index.add(rows)
        return index

    return build


INDEXES: dict[str, Callable[[Rows], faiss.Index | ItemCodes]] = {
    "codes": ItemCodes,  # drn's
    "codes of k-means": factory("PQ{width}x4fs"),
    "codes of pairs": factory("PQ{pairs}x4fs"),
    "ivf, 6 % of lists": factory("IVF1024,Flat", nprobe=64),
    "ivf, 25 % of lists": factory("IVF1024,Flat", nprobe=256),
    "ivf sq8, 25 % of lists": factory("IVF1024,SQ8", nprobe=256),
    "hnsw 32": factory("HNSW32", efConstruction=100, efSearch=400),
    "hnsw 16": factory("HNSW16", efConstruction=60, efSearch=400),
}


def measure(name: str, rows: Rows, queries: Rows, exact: NDArray[np.int64], candidates: Iterable[int]) -> None:
    """Print what an index comes to."""
    if "pairs" in name:  # of an even number
        rows, queries = (np.pad(one, [(0, 0), (0, one.shape[1] % 2)]) for one in (rows, queries))
    began = time.process_time()
    index = INDEXES[name](rows)
    built = time.process_time() - began
    if isinstance(index, ItemCodes):
        search, mib = index.largest, index.bytes / 2**20
    else:
        search, mib = lambda query, count: index.search(query, count)[1], len(faiss.serialize_index(index)) / 2**20
    for count in candidates:
        began = time.process_time()
        found = [search(queries[first : first + 16], count) for first in range(0, len(queries), 16)]
        spent = (time.process_time() - began) / len(queries) * 1e3
        held = 0
        for query, near, best in zip(queries, np.concatenate(found), exact, strict=True):
            ids = near[near >= 0]
            held += len(np.intersect1d(ids[np.argsort(-(rows[ids] @ query))[:TOP]], best))
        recall = held / exact.size
        print(f"{name:<24} {built:>8.1f} {mib:>8.0f} {count:>10} {recall:>10.4f} {spent:>9.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", help="a trained run; else the drawn net")
    parser.add_argument("--data", type=Path, help="its data folder")
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--items", type=int, choices=LOADS, default=100_000, help="of the drawn net")
    parser.add_argument("--only", nargs="*", default=[""], help="indexes whose name holds one of these")
    options = parser.parse_args()
    faiss.omp_set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="drn-bench-") as name:
        found = trained(options.run, options.data, options.copies) if options.run else drawn(Path(name), options.items)
    rows, queries = found
    exact = np.concatenate([np.argpartition(-(one @ rows.T), TOP)[None, :TOP] for one in queries])
    print(f"{len(rows):,} rows of {rows.shape[1]} numbers, {rows.nbytes / 2**20:.0f} MiB")
    print(f"{'index':<24} {'CPU s':>8} {'MiB':>8} {'candidates':>10} {'recall@20':>10} {'ms each':>9}")
    for name in INDEXES:
        if any(part in name for part in options.only):
            measure(name, rows, queries, exact, (400, 1000))


if __name__ == "__main__":
    main()
