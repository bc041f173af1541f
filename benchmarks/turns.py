"""Sides that take turns at the same work, and the table of what they took."""

import statistics
import time
from collections.abc import Callable

__all__ = ["Side", "on_threads", "same_losses", "table"]


class Side:
    """One side of a row: a function that makes updates and returns the loss of the last, and what its turns took.

    Parameters
    ----------
    name
        As it is printed.
    updates
        Makes so many updates.
    cpu_clock
        Seconds of CPU time so far, of all threads that work for the side.

    Attributes
    ----------
    turns, cpu
        Seconds of an update in each turn, and the CPU seconds of all threads.
    """

    def __init__(
        self, name: str, updates: Callable[[int], float], cpu_clock: Callable[[], float] = time.process_time
    ) -> None:
        self.name, self._updates, self._cpu_clock = name, updates, cpu_clock
        self.turns: list[float] = []
        self.cpu: list[float] = []

    def turn(self, updates: int) -> float:
        """Make some updates, and note how long one took; return the loss of the last."""
        start, cpu = time.perf_counter(), self._cpu_clock()
        loss = self._updates(updates)
        self.turns.append((time.perf_counter() - start) / updates)
        self.cpu.append((self._cpu_clock() - cpu) / updates)
        return loss

    def forget(self) -> None:
        """Forget the turns."""
        self.turns, self.cpu = [], []

    @property
    def median(self) -> float:
        return statistics.median(self.turns)

    @property
    def best(self) -> float:
        return min(self.turns)

    def told(self) -> str:
        """Return a line of what an update took."""
        times = {"median": self.median, "best": self.best, "CPU": statistics.median(self.cpu)}
        return f"    {self.name}: " + ", ".join(f"{what} {seconds * 1e3:.2f} ms" for what, seconds in times.items())


def on_threads(name: str, threads: int) -> str:
    """Return the name of a side that works on so many threads."""
    return f"{name}, {threads} thread{'s' * (threads > 1)}"


def same_losses(sides: dict[str, float], tolerance: float) -> None:
    """Assert that all sides have the loss of the first."""
    print("    loss: " + ", ".join(f"{name} {loss:.6f}" for name, loss in sides.items()), flush=True)
    ours = next(iter(sides.values()))
    assert all(abs(loss - ours) <= tolerance * ours for loss in sides.values()), "the sides do not train the same net"


def table(head: str, lines: list[str]) -> None:
    """Print a Markdown table."""
    print("\n" + "\n".join([head, "|---" + "|---:" * (head.count("|") - 2) + "|", *lines]), flush=True)
