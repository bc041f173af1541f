"""The endpoints: what there is, what each takes and answers; routes and the OpenAPI document are made of them."""

from typing import NamedTuple

from pydantic import BaseModel

from generator.serving.http import bodies

__all__ = ["ENDPOINTS", "OPEN", "Endpoint"]


class Endpoint(NamedTuple):
    """One operation: its method, path, handler in `Handlers`, what it says, takes and answers."""

    method: str
    path: str
    handler: str
    summary: str
    body: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    query: tuple[str, ...] = ()
    errors: tuple[int, ...] = ()
    status: int = 200


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/sessions/{session}/visits",
        "visit",
        "Record a page visit; answers the refreshed top items.",
        bodies.VisitBody,
        bodies.Recommendations,
        ("k",),
        (404, 409, 413, 415, 422, 503),
    ),
    Endpoint(
        "POST",
        "/v1/sessions/{session}/purchases",
        "purchase",
        "Record a purchase.",
        bodies.PurchaseBody,
        bodies.Recorded,
        (),
        (409, 413, 415, 422, 503),
    ),
    Endpoint(
        "GET",
        "/v1/sessions/{session}/recommendations",
        "recommendations",
        "The top items of a session as it is; a new session or user is fine.",
        None,
        bodies.Recommendations,
        ("k", "user", "exclude", "only", "exclude_lists", "only_lists", "unseen", "unbought"),
        (404, 422, 431, 503),
    ),
    Endpoint(
        "GET",
        "/v1/sessions/{session}",
        "session",
        "A session, its window, and its history state with aging factors.",
        None,
        bodies.SessionView,
        (),
        (404, 422, 503),
    ),
    Endpoint(
        "DELETE",
        "/v1/sessions/{session}",
        "forget_session",
        "Erase a session and its events.",
        errors=(404, 422, 503),
        status=204,
    ),
    Endpoint(
        "GET",
        "/v1/users/{user}",
        "user",
        "What is kept of a user.",
        None,
        bodies.UserView,
        (),
        (404, 422, 503),
    ),
    Endpoint(
        "DELETE",
        "/v1/users/{user}",
        "forget_user",
        "Erase a user, their sessions and all their events.",
        errors=(404, 422, 503),
        status=204,
    ),
    Endpoint("GET", "/v1/models", "models", "The versions, and which serve which share of the sessions."),
    Endpoint(
        "GET",
        "/v1/pages",
        "pages",
        "Pages the model knows, the most visited first.",
        query=("contains", "limit"),
        errors=(422,),
    ),
    Endpoint("GET", "/v1/lists", "lists", "The lists of items, by name."),
    Endpoint("GET", "/v1/lists/{list}", "list_", "A list of items.", None, bodies.ListView, (), (404, 422, 503)),
    Endpoint(
        "PUT",
        "/v1/lists/{list}",
        "put_list",
        "Keep a list of items, in place of the one of its name.",
        bodies.ListBody,
        bodies.ListView,
        (),
        (413, 415, 422, 503),
    ),
    Endpoint(
        "PATCH",
        "/v1/lists/{list}",
        "change_list",
        "Add items to a list, and remove others.",
        bodies.ListChange,
        bodies.ListView,
        (),
        (404, 413, 415, 422, 503),
    ),
    Endpoint("DELETE", "/v1/lists/{list}", "drop_list", "Drop a list.", errors=(404, 422, 503), status=204),
    Endpoint("GET", "/v2", "server", "Server metadata (Open Inference Protocol)."),
    Endpoint("GET", "/v2/health/live", "live", "Whether the process runs."),
    Endpoint("GET", "/v2/health/ready", "ready", "Whether an event sent now would be taken.", errors=(503,)),
    Endpoint("POST", "/v2/repository/index", "index", "All versions and their state."),
    Endpoint("GET", "/v2/models/{model}", "model", "A model's inputs and outputs.", errors=(404,)),
    Endpoint("GET", "/v2/models/{model}/versions/{version}", "model", "The same of a version.", errors=(404,)),
    Endpoint("GET", "/v2/models/{model}/ready", "model_ready", "Whether a model is loaded.", errors=(404,)),
    Endpoint(
        "GET",
        "/v2/models/{model}/versions/{version}/ready",
        "model_ready",
        "Whether a version is loaded.",
        errors=(404,),
    ),
    Endpoint(
        "POST",
        "/v2/models/{model}/infer",
        "infer",
        "Run a model on tensors, JSON or binary.",
        errors=(400, 404, 413, 415, 503),
    ),
    Endpoint(
        "POST",
        "/v2/models/{model}/versions/{version}/infer",
        "infer",
        "Run a version on tensors.",
        errors=(400, 404, 413, 415, 503),
    ),
    Endpoint("GET", "/metrics", "metrics", "Figures for Prometheus."),
)
# Open without a token: what holds no data, and what an orchestrator asks.
OPEN = {"/", "/docs", "/openapi.json", "/static/app.js", "/static/docs.js", "/static/style.css"} | {
    "/v2/health/live",
    "/v2/health/ready",
}
