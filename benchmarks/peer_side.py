"""What every peer of peers.py does: reads the sessions, and after each epoch writes the best items and what it took.

It runs in the environments of the peers, and so needs numpy alone. A peer is called with the file of the sessions, a
folder for its lists, and options as JSON; it prints a line of JSON an epoch.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

__all__ = ["TOP", "Report", "arguments", "histories"]

TOP = 20


def arguments() -> tuple[dict[str, np.ndarray], "Report", dict]:
    """Return the sessions, where to report to, and the options.

    The sessions are ``train_offset``, ``train_page`` and ``test_offset``, ``test_page``: session i has the pages
    offset[i]..offset[i+1]-1, 1..N, oldest first; a test row is a session as far as it has come; ``items`` is N.
    """
    path, folder, options = sys.argv[1:]
    with np.load(path) as file:
        return dict(file), Report(Path(folder)), json.loads(options)


def histories(offset: np.ndarray, page: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the newest ``longest`` pages of each session, left-aligned, 0 behind them, (S, longest), and lengths."""
    length = np.minimum(np.diff(offset), longest)
    place = np.arange(longest)
    index = (offset[1:] - length)[:, None] + place
    return np.where(place < length[:, None], page[np.minimum(index, len(page) - 1)], 0), length


class Report:
    """Writes a peer's lists and prints what it took; the time of training adds up over the epochs."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._epoch, self._trained = folder, 0, np.zeros(2)

    def epochs(self, options: dict, train: Callable[[int], object], rank: Callable[[], np.ndarray]) -> None:
        """Train epoch 0, 1 and so on, ranking after each: the ``TOP`` best items of each row, best first, (R, TOP).

        No epoch begins after ``options["epochs"]``, nor once training took ``options["limit"]`` CPU seconds.
        """
        while self._epoch < options["epochs"] and self._trained[1] < options["limit"]:
            self._trained += _clocked(lambda: train(self._epoch))[0]
            self._epoch += 1
            self._write(rank)

    def whole(self, epochs: float, train: Callable[[], object], rank: Callable[[], np.ndarray]) -> None:
        """Train anew for ``epochs``, then rank."""
        self._trained, self._epoch = _clocked(train)[0], epochs
        self._write(rank)

    def _write(self, rank: Callable[[], np.ndarray]) -> None:
        ranked, lists = _clocked(rank)
        path = self._folder / f"{self._epoch}.npy"
        np.save(path, lists.astype(np.int32))
        spent = {"train": [*self._trained], "rank": [*ranked], "epoch": self._epoch, "lists": str(path)}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MiB
        print(json.dumps({**spent, "peak": peak}), flush=True)


def _clocked(work: Callable[[], object]) -> tuple[np.ndarray, object]:
    """Return the wall and CPU seconds of ``work``, and what it gave."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    return np.array([time.perf_counter() - wall, time.process_time() - cpu]), found
