"""The baseline ALS: what its fit costs beside a direct call of implicit on the same matrix, alternately.

    python benchmarks/als.py --data build/demo/data
    python benchmarks/als.py --data data/yoochoose --repeats 15

Ours reads the training part, counts the popularity, makes the matrix and factorises it; the peer factorises alone, with
the same options and one BLAS thread, as implicit advises. The ratio should stay below 1.5.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from implicit.als import AlternatingLeastSquares
from threadpoolctl import threadpool_limits

from generator.evaluation.als import Als, interactions
from generator.evaluation.rows import SplitRows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("build/demo/data"), help="folder of drn sessions")
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    with SplitRows(options.data, "train") as train:
        matrix, _ = interactions(train)
        runs = {"drn": lambda: ours(train), "implicit": lambda: peer(matrix)}
        for run in runs.values():
            run()  # warm
        seconds = {name: [] for name in runs}
        for _ in range(options.repeats):
            for name, run in runs.items():
                seconds[name].append(clocked(run))
    print(f"{options.data.name}: {matrix.shape[0]:,} x {matrix.shape[1] - 1:,}, {matrix.nnz:,} ones")
    for name, each in seconds.items():
        print(f"{name:<10} median {np.median(each):.3f} s, {min(each):.3f} to {max(each):.3f}")
    print(f"ratio of the medians {np.median(seconds['drn']) / np.median(seconds['implicit']):.2f}")


def ours(train: SplitRows) -> None:
    Als().fit(train)


def peer(matrix: object) -> None:
    with threadpool_limits(1, "blas"):
        AlternatingLeastSquares(alpha=40, random_state=0).fit(matrix, show_progress=False)


def clocked(run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
