"""The ASGI application: routes behind a guard, and the chores of its life."""

import asyncio
import gc
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.middleware import Middleware

from generator.serve.http.guard import Guard
from generator.serve.http.handlers import Handlers
from generator.serve.http.openapi import document
from generator.serve.http.responses import EXCEPTION_HANDLERS
from generator.serve.http.routes import routes
from generator.serve.http.settings import Settings
from generator.serve.metrics import Metrics
from generator.serve.models.recommender import Recommender
from generator.serve.models.repository import Repository
from generator.serve.store.sessions import Kept
from generator.serve.store.store import Store, StoreError

__all__ = ["application"]

EXPIRY = 60.0  # seconds between two looks for idle sessions


def application(
    settings: Settings, store: Store, repository: Repository, metrics: Metrics, log: logging.Logger
) -> Starlette:
    """Return the service as an ASGI application.

    Parameters
    ----------
    settings
        What to serve and how.
    store, repository
        With what; the store is closed at shutdown.
    metrics, log
        Where figures and lines go.
    """
    recommender = Recommender(store, repository, metrics, settings.batch)

    def keep() -> None:
        """Have sessions keep what the loaded versions read."""
        store.kept = Kept.of(repository.sizes())

    def reload() -> None:
        repository.scan()
        keep()

    def expire() -> None:
        with suppress(StoreError):  # the store is down: requests say so, and the next look is soon
            metrics.expired.inc(store.expire(time.time()))

    @asynccontextmanager
    async def life(_app: Starlette) -> AsyncIterator[None]:
        """Do the chores from startup to shutdown, then end the work under way and close the store."""
        chores = [asyncio.create_task(_every(EXPIRY, expire))]
        if settings.reload:
            chores.append(asyncio.create_task(_every(settings.reload, reload)))
        gc.collect()
        gc.freeze()  # models and modules stay: no collection need look at them again
        yield
        for chore in chores:
            chore.cancel()
        recommender.close()
        store.close()
        log.info("stopped")

    keep()
    return Starlette(
        routes=routes(Handlers(recommender, document(bool(settings.token)))),
        middleware=[Middleware(Guard, metrics, log, settings.token, log_requests=settings.log_requests)],
        exception_handlers=EXCEPTION_HANDLERS,
        lifespan=life,
    )


async def _every(seconds: float, chore: Callable[[], object]) -> None:
    """Call ``chore`` in a thread, again and again."""
    while True:
        await asyncio.sleep(seconds)
        await asyncio.to_thread(chore)
