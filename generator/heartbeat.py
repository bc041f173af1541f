"""A line on stderr now and then, from work that cannot say how far it is; without rich, so that commands start fast."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

__all__ = ["FIRST", "SELDOM", "THEN", "working"]

FIRST, THEN, SELDOM = 2.0, 10.0, 60.0  # seconds before a line of progress, between two, and between two at last


@contextmanager
def working(what: str) -> Iterator[None]:
    """Say on stderr, after FIRST seconds and then ever more seldom, that ``what`` still goes on.

    By an alarm, not by a thread: work may fork, and a process with threads should not.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    began, wait = time.monotonic(), THEN

    def say(_number: int, _frame: object) -> None:
        nonlocal wait
        click.echo(f"{what}: at work for {time.monotonic() - began:.0f} s", err=True)
        signal.setitimer(signal.ITIMER_REAL, wait)
        wait = min(2 * wait, SELDOM)

    before = signal.signal(signal.SIGALRM, say)
    signal.setitimer(signal.ITIMER_REAL, FIRST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
