"""JSON responses, and which of them an exception becomes."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response

from generator.errors import DataError, ModelError
from generator.serving.http import bodies
from generator.serving.models.batcher import OverloadError
from generator.serving.models.lists import NoListError
from generator.serving.models.recommender import ForeignSessionError
from generator.serving.store.store import LongListError, StoreError

__all__ = ["answered", "refused"]

LATER: Mapping[type[Exception], str] = {
    StoreError: "the store is not available",
    OverloadError: "too many requests wait",
    ModelError: "the model cannot answer",
}


def answered(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON response."""
    return Response(to_json(value), status, headers, "application/json")


def refused(error: Exception) -> Response | None:
    """Return the response to an exception that a request may meet; None for a fault of ours."""
    if isinstance(error, HTTPException):
        return answered({"error": error.detail}, error.status_code, error.headers)
    if isinstance(error, ValidationError):
        return answered({"error": bodies.findings(error)}, 422)
    if isinstance(error, (NoListError, LongListError)):
        return answered({"error": str(error)}, 404 if isinstance(error, NoListError) else 422)
    if isinstance(error, (DataError, ForeignSessionError)):
        return answered({"error": str(error)}, 400 if isinstance(error, DataError) else 409)
    later = next((text for kind, text in LATER.items() if isinstance(error, kind)), None)
    return answered({"error": later}, 503, {"Retry-After": "1"}) if later else None
