"""The routes, and the OpenAPI document that describes them."""

from typing import Any, NamedTuple

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from generator import __version__
from generator.serve.http import bodies

__all__ = ["OPEN", "ROUTES", "Endpoint", "document"]


class Endpoint(NamedTuple):
    """One operation: its method, path, handler in `Api`, what it says, takes and answers."""

    method: str
    path: str
    handler: str
    summary: str
    body: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    query: tuple[str, ...] = ()
    errors: tuple[int, ...] = ()
    status: int = 200


ROUTES = (
    Endpoint(
        "POST",
        "/v1/sessions/{session}/visits",
        "visit",
        "Record a page visit; answers the refreshed top items.",
        bodies.VisitBody,
        bodies.Recommendations,
        ("k",),
        (409, 413, 415, 422, 503),
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
        ("k", "user"),
        (422, 503),
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
MEANING = {
    400: "The request does not fit the model.",
    401: "The bearer token is missing or wrong.",
    404: "There is none.",
    409: "The session is another user's.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    422: "The request does not hold.",
    503: "Not now; come again after Retry-After seconds, with the same event id.",
}
TENSORS = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "inputs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "shape", "datatype"],
                "properties": {
                    "name": {"type": "string"},
                    "shape": {"type": "array", "items": {"type": "integer"}},
                    "datatype": {"type": "string", "enum": ["INT64", "FP32"]},
                    "data": {"type": "array", "items": {}},
                    "parameters": {"type": "object"},
                },
            },
        },
        "outputs": {
            "type": "array",
            "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
        },
        "parameters": {"type": "object"},
    },
}
QUERY: dict[str, tuple[str, TypeAdapter[Any], int | None]] = {
    "k": ("Items to answer with, as many as the model ranks at most.", TypeAdapter(bodies.Count), 20),
    "limit": ("Pages to answer with.", TypeAdapter(bodies.Count), 50),
    "user": ("Whose earlier purchases count, for a session not seen yet.", TypeAdapter(bodies.Label), None),
    "contains": ("Text in the page's id.", TypeAdapter(str), None),
}
NAMES = {
    "session": TypeAdapter(bodies.SessionId).json_schema(),
    "user": {"type": "string", "minLength": 1, "maxLength": 256, "pattern": bodies.PRINTABLE},
    "model": {"type": "string", "minLength": 1},
    "version": {"type": "string", "pattern": "^[0-9]+$"},
}


def document(secured: bool) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document; with ``secured`` the operations ask for a bearer token."""
    models = sorted(
        {one for route in ROUTES for one in (route.body, route.answer) if one} | {bodies.Problem},
        key=lambda one: one.__name__,
    )
    _, schemas = models_json_schema(
        [(one, "validation") for one in models], ref_template="#/components/schemas/{model}"
    )
    paths: dict[str, Any] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, secured)
    components: dict[str, Any] = {"schemas": schemas["$defs"]}
    if secured:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "drn", "version": __version__, "description": "Session recommendations in real time."},
        "paths": paths,
        "components": components,
    }


def _operation(route: Endpoint, secured: bool) -> dict[str, Any]:
    closed = secured and route.path not in OPEN
    codes = (*route.errors, 401) if closed else route.errors
    found: dict[str, Any] = {
        "operationId": "_".join([route.handler, *(["version"] if "{version}" in route.path else [])]),
        "summary": route.summary,
        "parameters": [
            *(
                {"name": name, "in": "path", "required": True, "schema": NAMES[name]}
                for name in NAMES
                if f"{{{name}}}" in route.path
            ),
            *(_query(name) for name in route.query),
        ],
        "responses": {str(route.status): _success(route)} | {str(code): _failure(code) for code in sorted(codes)},
    }
    if route.body:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": _reference(route.body)}}}
    elif route.handler == "infer":
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": TENSORS}}}
    if closed:
        found["security"] = [{"token": []}]
    return found


def _query(name: str) -> dict[str, Any]:
    description, adapter, default = QUERY[name]
    schema = {**adapter.json_schema(), **({} if default is None else {"default": default})}
    if name == "user":
        schema = NAMES["user"]
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _success(route: Endpoint) -> dict[str, Any]:
    if route.status == 204:
        return {"description": "Erased."}
    if route.path == "/metrics":
        return {"description": "Done.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    schema: dict[str, Any] = {"type": "array"} if route.handler == "index" else {"type": "object"}
    return {
        "description": "Done.",
        "content": {"application/json": {"schema": _reference(route.answer) if route.answer else schema}},
    }


def _failure(code: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "description": MEANING[code],
        "content": {"application/json": {"schema": _reference(bodies.Problem)}},
    }
    if code == 503:
        found["headers"] = {"Retry-After": {"schema": {"type": "string"}}}
    return found
