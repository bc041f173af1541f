"""The ASGI application: routes behind a guard, and the periodic tasks beside them."""

import asyncio
import gc
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.routing import Router
from starlette.types import ASGIApp

from generator.serving.http.guard import Guard
from generator.serving.http.handlers import Handlers
from generator.serving.http.openapi import document
from generator.serving.http.periodic import repeat
from generator.serving.http.routes import Routes
from generator.serving.http.settings import Settings
from generator.serving.metrics import Metrics
from generator.serving.models.items import Items
from generator.serving.models.recommender import Recommender
from generator.serving.models.repository import Repository
from generator.serving.store.sessions import Kept
from generator.serving.store.store import Store

__all__ = ["application"]

EXPIRY = 60.0  # seconds between two looks for idle sessions
GENERATIONS = (20_000, 10, 10)  # objects that may come until the next collection: 64 requests under way have thousands
LISTS = 1.0  # seconds between two looks at the lists of items, which other servers may change


def application(
    settings: Settings, store: Store, repository: Repository, metrics: Metrics, log: logging.Logger
) -> ASGIApp:
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
    items = Items(settings.items, repository, log, only=settings.items_only)
    recommender = Recommender(store, repository, metrics, items, settings.batch)

    def keep() -> None:
        """Have sessions keep what the loaded versions read."""
        store.kept = Kept.of(repository.sizes())

    def reload() -> None:
        try:
            repository.scan()
        finally:
            keep()
            items.refresh()

    def expire() -> None:
        metrics.expired.inc(store.expire(time.time()))

    @asynccontextmanager
    async def life(_app: Router) -> AsyncIterator[None]:
        """Run the periodic tasks from startup to shutdown, then end the work under way and close the store."""
        tasks = [asyncio.create_task(repeat("expiry", EXPIRY, expire, metrics, log))]
        tasks.append(asyncio.create_task(repeat("lists", LISTS, recommender.lists.refresh, metrics, log)))
        if settings.reload:
            tasks.append(asyncio.create_task(repeat("reload", settings.reload, reload, metrics, log)))
        gc.collect()
        gc.freeze()  # models and modules stay: no collection need look at them again
        gc.set_threshold(*GENERATIONS)
        yield
        for task in tasks:
            task.cancel()
        recommender.close()
        store.close()
        log.info("stopped")

    keep()
    recommender.lists.refresh()
    return Guard(
        Routes(Handlers(recommender, document(bool(settings.token)))),
        Router(lifespan=life),
        metrics,
        log,
        token=settings.token,
        hosts=settings.hosts(),
        log_requests=settings.log_requests,
        images=settings.items is not None,
    )
