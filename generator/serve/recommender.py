"""From an event to the refreshed recommendation: the store, then the net, each in batches."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from generator.errors import DrnError
from generator.evaluate.model import Answer, Query
from generator.serve.batcher import Batcher
from generator.serve.metrics import Metrics
from generator.serve.repository import Repository
from generator.serve.served import Served
from generator.serve.sessions import Event, Session, State
from generator.serve.stores import Store, StoreError

__all__ = ["ForeignSessionError", "Recommendation", "Recommender"]

T = TypeVar("T")
REMEMBERED = 10_000  # sessions whose last recommendation is kept to see whether it was taken


class ForeignSessionError(DrnError):
    """An event of one user for the session of another."""


@dataclass(frozen=True)
class Recommendation:
    """What a session was answered, by which version, in which state."""

    state: State
    model: Served
    answer: Answer


class Recommender:
    """Records events and recommends; all methods are of one event loop.

    Parameters
    ----------
    store, repository, metrics
        What it works with; they are the caller's to close.
    largest
        Requests in a batch.
    """

    def __init__(self, store: Store, repository: Repository, metrics: Metrics, largest: int = 32) -> None:
        self.store, self.repository, self.metrics = store, repository, metrics
        self._threads = ThreadPoolExecutor(store.workers + 2, "drn-store")
        self._net = ThreadPoolExecutor(1, "drn-net")
        self._record = Batcher(self._record_batch, self._threads, workers=store.workers, largest=largest)
        self._answer = Batcher(self._answer_batch, self._net, largest=largest)
        self._last: OrderedDict[str, tuple[int, Answer]] = OrderedDict()

    def close(self) -> None:
        """End the threads, after the work they have."""
        self._threads.shutdown()
        self._net.shutdown()

    def _record_batch(self, events: Sequence[Event]) -> list[State | Exception]:
        self.metrics.batch.labels("store").observe(len(events))
        foreign = "the session is another user's: begin a new one with a new id"
        return [state or ForeignSessionError(foreign) for state in self.store.record(events)]

    def _answer_batch(self, asked: Sequence[tuple[Served, Query]]) -> list[Answer | Exception]:
        """Answer the queries of each version together; one version that fails leaves the others be."""
        self.metrics.batch.labels("inference").observe(len(asked))
        answers: list[Answer | Exception] = [RuntimeError()] * len(asked)
        for model in {id(model): model for model, _ in asked}.values():
            places = [place for place, (one, _) in enumerate(asked) if one is model]
            try:
                found: Sequence[Answer | Exception] = model.answer([asked[place][1] for place in places])
            except DrnError as error:
                found = [error] * len(places)
            for place, answer in zip(places, found, strict=True):
                answers[place] = answer
        return answers

    async def record(self, event: Event) -> State:
        """Log an event, durably, and return the state right after it.

        Raises
        ------
        ForeignSessionError : the session is another user's.
        StoreError : the store failed; the same event may be sent again.
        OverloadError : too many wait.
        """
        began = time.perf_counter()
        state = await self._counted(self._record(event))
        self.metrics.store.observe(time.perf_counter() - began)
        self.metrics.events.labels(event.kind).inc()
        self._judge(event)
        return state

    async def visit(self, event: Event) -> Recommendation:
        """Record a visit and recommend; raises what `record` and `recommend` do."""
        return await self._recommend(await self.record(event))

    async def recommend(self, session: str, user: str | None = None) -> Recommendation:
        """Recommend for a session as it is; for one not seen yet, from what ``user`` has bought.

        Raises
        ------
        StoreError, OverloadError : as `record`.
        ModelError : the net fails.
        """
        state = await self.look(self.store.state, session)
        if state is None:
            bought = await self.look(self.store.purchases, user) if user else None
            state = State(Session(session, user), bought or ())
        return await self._recommend(state)

    async def _recommend(self, state: State) -> Recommendation:
        model = self.repository.of_session(state.session.id)
        began = time.perf_counter()
        answer = await self._answer((model, state.query()))
        self.metrics.inference.observe(time.perf_counter() - began)
        self._last[state.session.id] = (model.version, answer)
        self._last.move_to_end(state.session.id)
        if len(self._last) > REMEMBERED:
            self._last.popitem(last=False)
        return Recommendation(state, model, answer)

    def _judge(self, event: Event) -> None:
        """Count whether what was last recommended to the session holds what it did then: the figures of an A/B."""
        model = self.repository.of_session(event.session)
        known = model.items if event.kind == "buy" else model.pages
        if not known.ids([event.label])[0]:
            self.metrics.unknown.labels(event.kind).inc()
        if event.session in self._last:
            version, answer = self._last[event.session]
            held = any(item == event.label for item, _ in answer.items)
            self.metrics.shown.labels(str(version), event.kind, str(held).lower()).inc()

    async def look(self, read: Callable[..., T], *given: object) -> T:
        """Call a method of the store in a thread; raises what it does."""
        began = time.perf_counter()
        loop = asyncio.get_running_loop()
        found = await self._counted(loop.run_in_executor(self._threads, partial(read, *given)))
        self.metrics.store.observe(time.perf_counter() - began)
        return found

    async def infer(self, work: Callable[[], T]) -> T:
        """Call ``work`` in the net's thread, after what waits there."""
        return await asyncio.get_running_loop().run_in_executor(self._net, work)

    async def forget(self, erase: Callable[[str], bool], name: str) -> bool:
        """Erase a session or user by a method of the store; return whether there was anything."""
        self._last.clear()  # what was recommended to whom goes with it
        return await self.look(erase, name)

    async def _counted(self, work: Awaitable[T]) -> T:
        try:
            return await work
        except StoreError:
            self.metrics.store_failures.inc()
            raise
