"""The handlers: sessions and recommendations under /v1, the Open Inference Protocol under /v2, the web page."""

import itertools
import time
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from generator.errors import DataError, ModelError
from generator.model.filter import Filter
from generator.model.text import answer_record
from generator.serving.http import bodies, protocol
from generator.serving.http.bodies import ListBody, ListChange, PurchaseBody, VisitBody, WishFields
from generator.serving.http.reading import BodyBudget, compressed, json_body, read
from generator.serving.http.responses import answered
from generator.serving.metrics import CONTENT_TYPE
from generator.serving.models.lists import NoListError
from generator.serving.models.recommender import Recommendation, Recommender, Wish
from generator.serving.models.served import Served
from generator.serving.store.sessions import Event, State
from generator.version import __version__

__all__ = ["STATIC", "Handlers"]

LARGE, TOGETHER = 16 * 2**20, 256 * 2**20  # bytes of a body of tensors, and of all of them
FUTURE = 300.0  # seconds a client's clock may be ahead
LISTED = 4 * 2**20  # bytes of a list of items
HEALTHY = {"live": True, "ready": True}  # the protocol's text has the one key for both checks, clients read the other
HEADER_LENGTH = "inference-header-content-length"
STATIC = Path(__file__).parent / "static"


class Handlers:
    """What answers the endpoints, each method from a request to a response.

    Parameters
    ----------
    recommender
        What answers.
    document
        The OpenAPI document.
    """

    def __init__(self, recommender: Recommender, document: Mapping[str, Any]) -> None:
        self._recommender, self._repository = recommender, recommender.repository
        self._document = to_json(document)
        self._last_received = 0
        self._boot, self._drawn = uuid.uuid4().hex, itertools.count(1)
        self._tensors = BodyBudget(TOGETHER)
        self._files = {path.name: path.read_bytes() for path in STATIC.iterdir()}

    # /v1: sessions

    async def visit(self, request: Request) -> Response:
        """Record a visit and answer the refreshed top items."""
        session, top = bodies.session_id(request.path_params["session"]), _top(request)
        body = await json_body(request, VisitBody)
        wish = self._wish(body, top)
        event = self._event(session, "view", body.page, body, body.dwell)
        return self._recommended(await self._recommender.visit(event, wish), event.event)

    async def purchase(self, request: Request) -> Response:
        """Record a purchase."""
        session = bodies.session_id(request.path_params["session"])
        body = await json_body(request, PurchaseBody)
        event = self._event(session, "buy", body.item, body)
        await self._recommender.record(event)
        return answered({"session": session, "event": event.event})

    async def recommendations(self, request: Request) -> Response:
        """Answer the top items of a session as it is; a new one is fine."""
        session, top = bodies.session_id(request.path_params["session"]), _top(request)
        user = request.query_params.get("user")
        wish = self._wish(bodies.wish(request.query_params.multi_items()), top)
        found = await self._recommender.recommend(session, wish, None if user is None else bodies.label(user))
        return self._recommended(found, None)

    def _recommended(self, found: Recommendation, event: str | None) -> Response:
        return answered(
            {
                "session": found.state.session.id,
                "event": event,
                "model": {"name": found.served.model.name, "version": found.served.version},
                **answer_record(found.answer, self._recommender.items.about),
            }
        )

    async def session(self, request: Request) -> Response:
        """Answer what is kept of a session, and what of it the net sees."""
        session = bodies.session_id(request.path_params["session"])
        state = await self._recommender.look(self._recommender.store.state, session)
        if state is None:
            raise HTTPException(404, "there is no such session")
        return answered(_view(state, self._repository.of_session(session)))

    async def forget_session(self, request: Request) -> Response:
        """Erase a session and its events."""
        session = bodies.session_id(request.path_params["session"])
        return await self._forgotten(self._recommender.store.forget_session, session, "session")

    async def user(self, request: Request) -> Response:
        """Answer what is kept of a user."""
        user = bodies.label(request.path_params["user"])
        bought = await self._recommender.look(self._recommender.store.purchases, user)
        if bought is None:
            raise HTTPException(404, "there is no such user")
        purchases = [{"item": one.label, "time": one.time, "session": one.session} for one in bought]
        return answered({"user": user, "purchases": purchases})

    async def forget_user(self, request: Request) -> Response:
        """Erase a user, their sessions and all their events."""
        user = bodies.label(request.path_params["user"])
        return await self._forgotten(self._recommender.store.forget_user, user, "user")

    async def _forgotten(self, erase: Any, name: str, what: str) -> Response:
        if not await self._recommender.forget(erase, name):
            raise HTTPException(404, f"there is no such {what}")
        return Response(status_code=204)

    def _event(
        self, session: str, kind: str, label: str, body: VisitBody | PurchaseBody, dwell: float | None = None
    ) -> Event:
        now = time.time_ns() // 1000
        self._last_received = max(now, self._last_received + 1)  # so that equal times keep the order of arrival
        if body.time is not None and body.time > now / 1e6 + FUTURE:
            raise HTTPException(422, "time: it is in the future")
        moment = now / 1e6 if body.time is None else body.time
        event = body.event or f"{self._boot}-{next(self._drawn)}"
        timed = body.time is not None
        return Event(session, event, kind, label, moment, self._last_received, body.user, dwell, timed)

    def _wish(self, body: WishFields, top: int | None) -> Wish:
        """Return what a request asks of its answer; NoListError for a list that there is not."""
        lists = self._recommender.lists
        filters = [*map(lists.exclude, body.exclude_lists), *map(lists.only, body.only_lists)]
        if body.exclude or body.only is not None:
            only = None if body.only is None else frozenset(body.only)
            filters.append(Filter(only, frozenset(body.exclude)))
        return Wish(top, tuple(filters), body.unseen, body.unbought)

    # /v1: lists of items

    async def lists(self, request: Request) -> Response:
        """Answer the names of the lists, and how many items each has."""
        return answered({"lists": self._recommender.lists.index()})

    async def list_(self, request: Request) -> Response:
        """Answer a list."""
        name = bodies.session_id(request.path_params["list"])
        held = await self._recommender.look(self._recommender.store.item_list, name)
        if held is None:
            raise NoListError("there is no such list of items")
        return answered({"name": name, "hidden": held.hidden, "items": sorted(held.items)})

    async def put_list(self, request: Request) -> Response:
        """Keep a list."""
        name, body = bodies.session_id(request.path_params["list"]), await json_body(request, ListBody, LISTED)
        return await self._listed(
            partial(self._recommender.store.put_list, name, body.items, hidden=body.hidden), request
        )

    async def change_list(self, request: Request) -> Response:
        """Change a list."""
        name, body = bodies.session_id(request.path_params["list"]), await json_body(request, ListChange, LISTED)
        return await self._listed(partial(self._recommender.store.change_list, name, body.add, body.remove), request)

    async def drop_list(self, request: Request) -> Response:
        """Drop a list."""
        name = bodies.session_id(request.path_params["list"])
        if not await self._recommender.look(self._recommender.store.drop_list, name):
            raise NoListError("there is no such list of items")
        await self._recommender.look(self._recommender.lists.refresh)
        return Response(status_code=204)

    async def _listed(self, change: Callable[[], object], request: Request) -> Response:
        """Change a list, look at all of them, and answer it."""
        await self._recommender.look(change)
        await self._recommender.look(self._recommender.lists.refresh)
        return await self.list_(request)

    # /v1: models

    async def models(self, request: Request) -> Response:
        """Answer the versions there are, and which serve which share of the sessions."""
        arms = [
            {"arm": arm, "version": version, "share": share, "outcomes": self._recommender.metrics.outcomes(version)}
            for arm, (version, share) in self._repository.arms().items()
        ]
        return answered({"model": self._repository.name, "arms": arms, "versions": self._repository.index()})

    async def pages(self, request: Request) -> Response:
        """Answer pages the model knows, the most visited first, to click on."""
        wanted = request.query_params.get("contains", "")[:256].casefold()
        limit = bodies.count(request.query_params.get("limit", "50"))
        labels = self._repository.find(self._repository.name).model.pages.labels
        found = [label for label in labels if wanted in label.casefold()][:limit] if wanted else list(labels[:limit])
        return answered({"pages": found})

    # /v2: the Open Inference Protocol

    async def live(self, request: Request) -> Response:
        """Answer that the process runs."""
        return answered(HEALTHY)

    async def ready(self, request: Request) -> Response:
        """Answer whether an event sent now would be taken and answered: the store is asked."""
        await self._recommender.look(self._recommender.store.ping)
        return answered(HEALTHY)

    async def server(self, request: Request) -> Response:
        """Answer the server's metadata."""
        return answered({"name": "drn", "version": __version__, "extensions": ["binary_tensor_data"]})

    async def index(self, request: Request) -> Response:
        """Answer the versions of all models, by Triton's repository extension."""
        return answered(self._repository.index())

    async def model(self, request: Request) -> Response:
        """Answer a model's metadata."""
        model = self._served(request).model
        lines = self._repository.index()
        versions = [str(one["version"]) for one in lines if one["name"] == model.name and one["state"] == "READY"]
        return answered(protocol.metadata(model, versions))

    async def model_ready(self, request: Request) -> Response:
        """Answer whether a model is loaded."""
        return answered({"name": self._served(request).model.name, "ready": True})

    async def infer(self, request: Request) -> Response:
        """Run a model on tensors."""
        served = self._served(request)
        length = request.headers.get(HEADER_LENGTH)
        if length is not None and not (length.isascii() and length.isdecimal() and len(length) < 10):
            raise DataError("Inference-Header-Content-Length is a number of bytes")
        with self._tensors.share() as share:
            body = await read(request, LARGE, share)

            accepted = request.headers.get("accept-encoding", "")

            def work(gone: Callable[[], bool]) -> Response:
                asked = protocol.parse(body, None if length is None else int(length), served.model)
                values = protocol.infer(asked, served.model, gone)
                return _tensors(*protocol.respond(asked, served.model, served.version, values), accepted)

            return await self._recommender.infer(work)

    def _served(self, request: Request) -> Served:
        version = request.path_params.get("version")
        if version is not None and not (version.isascii() and version.isdecimal() and len(version) < 18):
            raise HTTPException(404, "versions are numbers")
        try:
            return self._repository.find(request.path_params["model"], None if version is None else int(version))
        except ModelError as error:
            raise HTTPException(404, "this model or version is not loaded") from error

    # pages and figures

    async def metrics(self, request: Request) -> Response:
        """Answer the figures for Prometheus."""
        metrics = self._recommender.metrics
        for arm, (version, _) in self._repository.arms().items():
            metrics.version.labels(self._repository.name, arm).set(version)
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    async def openapi(self, request: Request) -> Response:
        """Answer the OpenAPI document."""
        return Response(self._document, media_type="application/json")

    async def page(self, request: Request) -> Response:
        """Answer a file of the web page."""
        name = {"/": "index.html", "/docs": "docs.html"}.get(request.url.path, request.url.path.rpartition("/")[2])
        kinds = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
        if name not in self._files:
            raise HTTPException(404, "there is no such page")
        return Response(self._files[name], media_type=kinds[name.rpartition(".")[2]])


def _tensors(content: bytes, head: int | None, accepted: str) -> Response:
    """Return an answer of ``head`` bytes of JSON and binary tensors, or of JSON alone, compressed if it may be."""
    content, encoding = compressed(content, accepted)
    headers = {} if encoding is None else {"Content-Encoding": encoding, "Vary": "Accept-Encoding"}
    if head is None:
        return Response(content, headers=headers, media_type="application/json")
    return Response(content, headers=headers | {HEADER_LENGTH: str(head)}, media_type="application/octet-stream")


def _top(request: Request) -> int | None:
    given = request.query_params.get("k") if request.scope["query_string"] else None
    return None if given is None else bodies.count(given)


def _view(state: State, served: Served) -> dict[str, Any]:
    session, query, model = state.session, state.query(), served.model
    seen, items = model.window(query), model.items.label

    def pages(page: int) -> str:
        return seen.label(page, model.pages)

    return {
        "session": session.id,
        "user": session.user,
        "start": session.start,
        "seen": session.seen,
        "visits": [{"page": page, "dwell": dwell} for page, dwell in query.pages],
        "window": [{"page": pages(page), "dwell": dwell} for page, dwell in zip(seen.page, seen.dwell, strict=True)],
        "history": [
            {"page": pages(page), "dwell": dwell, "weight": weight}
            for page, dwell, weight in zip(seen.history_page, seen.history_dwell, seen.history_weight(), strict=True)
        ],
        "bought": [items(item) for item in seen.bought],
        "purchases": [one.label for one in session.purchases],
        "unknown_pages": seen.unknown_pages,
        "model": {"name": model.name, "version": served.version},
    }
