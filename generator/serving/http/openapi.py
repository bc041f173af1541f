"""The OpenAPI document that describes the endpoints."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from generator.data.log.bounds import LONGEST_LABEL, PRINTABLE
from generator.serving.http import bodies
from generator.serving.http.endpoints import ENDPOINTS, OPEN, Endpoint
from generator.version import __version__

__all__ = ["document"]


MEANING = {
    400: "The request does not fit the model.",
    401: "The bearer token is missing or wrong.",
    404: "There is none.",
    409: "The session is another user's.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    422: "The request does not hold.",
    431: "The path with its query and the header fields are larger than 64 KiB: name a list.",
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
    "k": ("Items to answer with; by default 20, or what the model ranks.", TypeAdapter(bodies.Count), None),
    "limit": ("Pages to answer with.", TypeAdapter(bodies.Count), 50),
    "user": ("Whose earlier purchases count, for a session not seen yet.", TypeAdapter(bodies.Label), None),
    "exclude": ("Items that are not wanted; may be repeated.", TypeAdapter(bodies.Ids), None),
    "only": ("Items that alone are wanted; may be repeated.", TypeAdapter(bodies.Ids), None),
    "exclude_lists": ("Lists whose items are not wanted; may be repeated.", TypeAdapter(bodies.Names), None),
    "only_lists": ("Lists whose items alone are wanted; may be repeated.", TypeAdapter(bodies.Names), None),
    "unseen": ("Whether what the session has visited is left out.", TypeAdapter(bool), None),
    "unbought": ("Whether what was bought is left out.", TypeAdapter(bool), None),
    "contains": ("Text in the page's id.", TypeAdapter(str), None),
}
NAMES = {
    "session": TypeAdapter(bodies.SessionId).json_schema(),
    "user": {"type": "string", "minLength": 1, "maxLength": LONGEST_LABEL, "pattern": PRINTABLE},
    "list": TypeAdapter(bodies.SessionId).json_schema(),
    "model": {"type": "string", "minLength": 1},
    "version": {"type": "string", "pattern": "^[0-9]+$"},
}


def document(secured: bool) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document; with ``secured`` the operations ask for a bearer token."""
    models = sorted(
        {one for endpoint in ENDPOINTS for one in (endpoint.body, endpoint.answer) if one} | {bodies.Problem},
        key=lambda one: one.__name__,
    )
    _, schemas = models_json_schema(
        [(one, "validation") for one in models], ref_template="#/components/schemas/{model}"
    )
    paths: dict[str, Any] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, secured)
    components: dict[str, Any] = {"schemas": schemas["$defs"]}
    if secured:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "drn", "version": __version__, "description": "Session recommendations in real time."},
        "paths": paths,
        "components": components,
    }


def _operation(endpoint: Endpoint, secured: bool) -> dict[str, Any]:
    closed = secured and endpoint.path not in OPEN
    codes = (*endpoint.errors, 401) if closed else endpoint.errors
    found: dict[str, Any] = {
        "operationId": "_".join([endpoint.handler, *(["version"] if "{version}" in endpoint.path else [])]),
        "summary": endpoint.summary,
        "parameters": [
            *(
                {"name": name, "in": "path", "required": True, "schema": NAMES[name]}
                for name in NAMES
                if f"{{{name}}}" in endpoint.path
            ),
            *(_query(name) for name in endpoint.query),
        ],
        "responses": {str(endpoint.status): _success(endpoint)} | {str(code): _failure(code) for code in sorted(codes)},
    }
    if endpoint.body:
        found["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _reference(endpoint.body)}},
        }
    elif endpoint.handler == "infer":
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": TENSORS}}}
    if closed:
        found["security"] = [{"token": []}]
    return found


def _taken(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _query(name: str) -> dict[str, Any]:
    description, adapter, default = QUERY[name]
    schema = {**adapter.json_schema(), **({} if default is None else {"default": default})}
    if name == "user":
        schema = NAMES["user"]
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _success(endpoint: Endpoint) -> dict[str, Any]:
    if endpoint.status == 204:
        return {"description": "Erased."}
    if endpoint.path == "/metrics":
        return {"description": "Done.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    schema: dict[str, Any] = {"type": "array"} if endpoint.handler == "index" else {"type": "object"}
    return {
        "description": "Done.",
        "content": {"application/json": {"schema": _reference(endpoint.answer) if endpoint.answer else schema}},
    }


def _failure(code: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "description": MEANING[code],
        "content": {"application/json": {"schema": _reference(bodies.Problem)}},
    }
    if code == 503:
        found["headers"] = {"Retry-After": {"schema": {"type": "string"}}}
    return found
