"""How many processors there are to work with, and how a process is kept to one."""

import os

__all__ = ["ONE_THREAD", "available"]

# What keeps numerical libraries to one thread; they read it when they are first imported.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def available() -> int:
    """Return the processors this process may use: those of its affinity where the platform has one, else all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
