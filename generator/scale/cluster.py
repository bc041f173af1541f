"""Ray: connected to for as long as it is needed, or started on this machine."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from generator.errors import DrnError

__all__ = ["connected", "cores", "first_line", "remote"]


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Be connected to a Ray cluster in the context; where the caller is already, use that.

    Parameters
    ----------
    address
        ``ray``: the cluster of RAY_ADDRESS, else one that runs on this machine, else a new one on it, stopped at the
        end; ``ray://HOST:PORT``: the cluster behind that Ray client server.

    Raises
    ------
    DrnError
        There is no cluster at the address, or none could be started.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no report leaves without being asked for
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # nor a warning of what Ray will change one day
    import ray

    if ray.is_initialized():
        yield
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they say of a lost connection, the error says too
            ray.init(
                address=None if address == "ray" else address,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except (ConnectionError, ImportError, RuntimeError, ValueError) as error:
        where = os.environ.get("RAY_ADDRESS", "this machine") if address == "ray" else address
        raise DrnError(
            f"--engine {address}: no Ray at {where}: {first_line(error)}; see `ray status` there, or take --engine ray "
            "for a Ray of this machine"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def cores() -> int:
    """Return the cores of the cluster."""
    import ray

    return int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]


def remote(function: Any, **options: Any) -> Any:
    """Return a function, or a class, as Ray's: ``remote`` begins a task, or an actor, with these options."""
    import ray

    return ray.remote(**options)(function)


def first_line(error: BaseException) -> str:
    """Return the first line of what an exception says; Ray's go on for pages."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
