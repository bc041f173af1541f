"""Jobs for engines of every kind, in a module that their workers can import."""

import os
import signal
from pathlib import Path

from generator.errors import DataError


def double(number):
    return 2 * number


def refuse(number):
    raise DataError(f"no {number}") if number else ZeroDivisionError("zero")


def threads(_job):
    return os.environ["OMP_NUM_THREADS"]


def die(flag):
    """Kill this worker with SIGKILL, if ``flag`` is a file once only."""
    if flag and Path(flag).exists():
        return "lived"
    if flag:
        Path(flag).touch()
    os.kill(os.getpid(), signal.SIGKILL)
    return None
