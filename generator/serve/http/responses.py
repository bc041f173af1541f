"""JSON responses, and which of them an exception becomes."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from generator.errors import DataError, ModelError
from generator.serve.http import bodies
from generator.serve.models.batcher import OverloadError
from generator.serve.models.recommender import ForeignSessionError
from generator.serve.store.store import StoreError

__all__ = ["EXCEPTION_HANDLERS", "answered"]

LATER: Mapping[type[Exception], str] = {
    StoreError: "the store is not available",
    OverloadError: "too many requests wait",
    ModelError: "the model cannot answer",
}


def answered(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON response."""
    return Response(to_json(value), status, headers, "application/json")


async def _refused(_request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return answered({"error": error.detail}, error.status_code, error.headers)
    if isinstance(error, ValidationError):
        return answered({"error": bodies.findings(error)}, 422)
    if isinstance(error, (DataError, ForeignSessionError)):
        return answered({"error": str(error)}, 400 if isinstance(error, DataError) else 409)
    text = next(text for kind, text in LATER.items() if isinstance(error, kind))
    return answered({"error": text}, 503, {"Retry-After": "1"})


# What a request may meet, as Starlette looks it up; anything else is a fault of ours.
EXCEPTION_HANDLERS = dict.fromkeys((HTTPException, ValidationError, DataError, ForeignSessionError, *LATER), _refused)
