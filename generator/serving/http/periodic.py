"""Work that is done again and again beside the requests, whatever becomes of it."""

import asyncio
import logging
from collections.abc import Callable

from generator.serving.http.logs import place_of
from generator.serving.metrics import Metrics

__all__ = ["repeat"]


async def repeat(name: str, seconds: float, work: Callable[[], object], metrics: Metrics, log: logging.Logger) -> None:
    """Call ``work`` in a thread every ``seconds``, for ever.

    A call that fails is counted, and logged unless the one before failed likewise; the next is made in its time.

    Parameters
    ----------
    name
        What figures and lines call it.
    """
    before = ""
    while True:
        await asyncio.sleep(seconds)
        try:
            await asyncio.to_thread(work)
        except Exception as error:  # whatever it is: the next call may succeed
            metrics.chore_failures.labels(name).inc()
            failure = {"error": type(error).__name__, "where": place_of(error)}
            if str(failure) != before:
                log.error("chore failed", extra={"fields": {"chore": name, **failure}})
            before = str(failure)
        else:
            if before:
                log.info("chore works again", extra={"fields": {"chore": name}})
            before = ""
