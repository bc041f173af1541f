"""From an event to the refreshed recommendation: the store, then the net, in batches."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import NamedTuple, TypeVar

from generator.errors import DrnError, ModelError
from generator.model.filter import Filter
from generator.model.query import Answer
from generator.serving.metrics import Metrics
from generator.serving.models.batcher import Batcher, OverloadError
from generator.serving.models.items import Items
from generator.serving.models.lists import Lists
from generator.serving.models.repository import Repository
from generator.serving.models.served import Served
from generator.serving.store.sessions import Event, Session, ShownItems, State
from generator.serving.store.store import DamagedError, Store, StoreError

__all__ = ["ForeignSessionError", "Recommendation", "Recommender", "Wish"]

A = TypeVar("A")
T = TypeVar("T")
INFERENCES = 64  # requests of the inference protocol that may wait
SHOWN = 20  # items of an answer that does not say how many


class ForeignSessionError(DrnError):
    """An event of one user for the session of another."""


class Recommendation(NamedTuple):
    """What a session was answered, by which version, in which state."""

    state: State
    served: Served
    answer: Answer

    def shown(self) -> ShownItems:
        """Return what is kept of it."""
        return ShownItems(self.served.version, [item for item, _ in self.answer.items])


class Wish(NamedTuple):
    """What a request asks of its recommendation.

    Attributes
    ----------
    top
        How many items; None: as many as the model ranks by itself, 20 at most.
    filters
        What allows them.
    unseen, unbought
        Whether what the session has visited, or its user bought, is left out.
    """

    top: int | None = None
    filters: tuple[Filter, ...] = ()
    unseen: bool = False
    unbought: bool = False

    def all_filters(self, state: State, hidden: Sequence[Filter]) -> list[Filter]:
        """Return the filters of a session's answer."""
        found = [*hidden, *self.filters]
        if self.unseen:
            found.append(Filter(exclude=frozenset(one.label for one in state.session.visits)))
        if self.unbought:
            bought = (*state.purchases, *state.session.purchases)
            found.append(Filter(exclude=frozenset(one.label for one in bought)))
        return found


class Ask(NamedTuple):
    """An event to record or a session's state, and what is asked of the answer; None: none is wanted."""

    about: Event | State
    wish: Wish | None


class Recommender:
    """Records events and recommends; all methods are of one event loop.

    Parameters
    ----------
    store, repository, metrics, items
        What it works with; they are the caller's to close.
    largest
        Requests in a batch.
    """

    def __init__(self, store: Store, repository: Repository, metrics: Metrics, items: Items, largest: int = 32) -> None:
        self.store, self.repository, self.metrics, self.items = store, repository, metrics, items
        self._threads = ThreadPoolExecutor(store.workers + 2, "drn-batch")
        self._net = ThreadPoolExecutor(1, "drn-infer")
        self._inferring = 0
        self.lists = Lists(store)
        self._serve: Batcher[Ask, Recommendation | State] = Batcher(
            self._serve_batch, self._threads, workers=store.workers, largest=largest
        )

    def close(self) -> None:
        """End the threads, after the work they have."""
        self._threads.shutdown()
        self._net.shutdown()

    def _serve_batch(self, asked: Sequence[Ask]) -> list[Recommendation | State | Exception]:
        """Record the events, then answer the visits among them and the states.

        One thread does both: handing a batch over costs more than a small net's answer to it.
        """
        began = time.perf_counter()
        events = [one.about for one in asked if isinstance(one.about, Event)]
        states = self._recorded(asked, events)
        if events:
            self.metrics.store.observe(time.perf_counter() - began)
        began = time.perf_counter()
        found = self._answered(asked, states)
        if shown := {one.state.session.id: one.shown() for one in found if isinstance(one, Recommendation)}:
            self.metrics.inference.observe(time.perf_counter() - began)
            self._keep_shown(shown)
        return found

    def _keep_shown(self, shown: Mapping[str, ShownItems]) -> None:
        """Keep what is about to be shown, for whichever server takes the next event; answers do not depend on it."""
        try:
            self.store.show(shown, time.time())
        except StoreError:
            self.metrics.store_failures.inc()

    def _recorded(self, asked: Sequence[Ask], events: Sequence[Event]) -> list[State | Exception]:
        """Return each state as it is, and for each event the state right after it, or why there is none."""
        after = iter(_each(self.store.record, events) if events else ())
        found = (next(after) if isinstance(one.about, Event) else one.about for one in asked)
        foreign = ForeignSessionError("the session is another user's: begin a new one with a new id")
        return [foreign if one is None else one for one in found]

    def _answered(
        self, asked: Sequence[Ask], states: Sequence[State | Exception]
    ) -> list[Recommendation | State | Exception]:
        """Answer the queries of each version together; one version or session that fails leaves the others be."""
        found: list[Recommendation | State | Exception] = list(states)
        wanting: dict[Served, list[tuple[int, State, Wish]]] = {}
        for place, (one, state) in enumerate(zip(asked, states, strict=True)):
            if isinstance(state, State) and one.wish:
                try:
                    served = self.repository.of_session(state.session.id)
                except DrnError as error:
                    found[place] = error
                else:
                    wanting.setdefault(served, []).append((place, state, one.wish))
        hidden = [*self.lists.hidden, *self.items.filters]
        for served, places in wanting.items():
            self.metrics.batch.observe(len(places))
            answers = _each(partial(_answers, served, hidden), [(state, wish) for _, state, wish in places])
            for (place, state, _), answer in zip(places, answers, strict=True):
                found[place] = Recommendation(state, served, answer) if isinstance(answer, Answer) else answer
        return found

    async def record(self, event: Event) -> None:
        """Log a purchase, durably.

        Raises
        ------
        ForeignSessionError : the session is another user's.
        StoreError : the store failed; the same event may be sent again.
        OverloadError : too many wait.
        """
        after = await self._counted(self._serve(Ask(event, None)))
        self._judge(event, after)

    async def visit(self, event: Event, wish: Wish) -> Recommendation:
        """Log a visit, durably, and recommend.

        Raises
        ------
        ForeignSessionError, StoreError, OverloadError : as `record`.
        ModelError : the net fails; the visit is recorded.
        """
        try:
            found = await self._counted(self._serve(Ask(event, wish)))
        except ModelError:
            self._judge(event, None)
            raise
        self._judge(event, found)
        return _recommendation(found)

    async def recommend(self, session: str, wish: Wish, user: str | None = None) -> Recommendation:
        """Recommend for a session as it is; for one not seen yet, from what ``user`` has bought.

        Raises
        ------
        StoreError, OverloadError, ModelError : as `visit`.
        """
        state = await self.look(self.store.state, session)
        if state is None:
            bought = await self.look(self.store.purchases, user) if user else None
            state = State(Session(session, user), bought or ())
        return _recommendation(await self._serve(Ask(state, wish)))

    def _judge(self, event: Event, after: Recommendation | State | None) -> None:
        """Count an event, and whether what was last shown to its session holds what it names: the figures of an A/B."""
        count = self.metrics.count
        count(self.metrics.events, event.kind)
        model = self.repository.of_session(event.session).model
        known = model.items if event.kind == "buy" else model.pages
        if not known.find([event.label])[0]:
            count(self.metrics.unknown, event.kind)
        state = after.state if isinstance(after, Recommendation) else after
        if state and state.shown:
            held = event.label in state.shown.items
            count(self.metrics.shown, state.shown.version, event.kind, str(held).lower())

    async def look(self, read: Callable[..., T], *given: object) -> T:
        """Call a method of the store in a thread; raises what it does."""
        began = time.perf_counter()
        loop = asyncio.get_running_loop()
        found = await self._counted(loop.run_in_executor(self._threads, partial(read, *given)))
        self.metrics.store.observe(time.perf_counter() - began)
        return found

    async def infer(self, work: Callable[[Callable[[], bool]], T]) -> T:
        """Call ``work`` in the thread of the inference protocol, after what waits there; raises what it does.

        Parameters
        ----------
        work
            Its argument tells whether nobody waits for the answer any more.

        Raises
        ------
        OverloadError : too many wait.
        """
        if self._inferring >= INFERENCES:
            raise OverloadError
        gone = threading.Event()
        self._inferring += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._net, work, gone.is_set)
        finally:
            gone.set()
            self._inferring -= 1

    async def forget(self, erase: Callable[[str], bool], name: str) -> bool:
        """Erase a session or user by a method of the store; return whether there was anything."""
        return await self.look(erase, name)

    async def _counted(self, work: Awaitable[T]) -> T:
        try:
            return await work
        except StoreError:
            self.metrics.store_failures.inc()
            raise


def _recommendation(found: Recommendation | State) -> Recommendation:
    if not isinstance(found, Recommendation):
        raise TypeError("a purchase is not answered")
    return found


def _each(work: Callable[[Sequence[A]], Sequence[T]], items: Sequence[A]) -> list[T | Exception]:
    """Return ``work`` of all items together; if that fails, each one's own result or exception.

    A store that cannot be reached fails for all at once: to ask it for each would take as long as many time limits.
    """
    try:
        return list(work(items))
    except Exception as error:  # whatever it is: the neighbours shall not fare as the one that brought it
        if len(items) == 1 or (isinstance(error, StoreError) and not isinstance(error, DamagedError)):
            return [error] * len(items)
    return [one for item in items for one in _each(work, [item])]


def _answers(served: Served, hidden: Sequence[Filter], asked: Sequence[tuple[State, Wish]]) -> list[Answer]:
    """Return the answers of one version; those that the graph ranks by itself apart from those that need all scores."""
    model, found = served.model, dict[int, Answer]()
    filters = [wish.all_filters(state, hidden) for state, wish in asked]
    tops = [min(SHOWN, model.top_k) if wish.top is None else wish.top for _, wish in asked]
    queries = [state.query() for state, _ in asked]
    plain = [place for place, top in enumerate(tops) if not filters[place] and top <= model.top_k]
    others = [place for place, top in enumerate(tops) if filters[place] or top > model.top_k]
    if plain:
        found.update(zip(plain, model.recommend([queries[place] for place in plain]), strict=True))
    if others:
        most = max(tops[place] for place in others)
        some = model.recommend([queries[place] for place in others], most, [filters[place] for place in others])
        found.update(zip(others, some, strict=True))
    return [
        found[place] if top >= len(found[place].items) else replace(found[place], items=found[place].items[:top])
        for place, top in enumerate(tops)
    ]
