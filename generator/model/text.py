"""Sessions as people and programs write them, and answers for both."""

import json
import math
from collections.abc import Callable
from typing import Any

from generator.data.log.bounds import LONGEST_DWELL
from generator.errors import DataError
from generator.model.query import Answer, Query

__all__ = ["answer_record", "bars", "query_of_json", "query_of_text"]


def query_of_text(session: str = "", bought: str = "") -> Query:
    """Return the query of ``page[:seconds],...`` and ``item,...``, oldest first.

    A page without seconds counts one. Ids with a comma or a colon in them can only come by JSON.

    Raises
    ------
    DataError : the seconds are no number, or an id is empty.
    """
    pages = []
    for part in session.split(",") if session else []:
        page, colon, seconds = part.strip().partition(":")
        try:
            dwell = float(seconds) if colon else 1.0
        except ValueError:
            dwell = math.nan
        pages.append((_identifier(page, f"session {part!r}"), _seconds(dwell, f"session {part!r}")))
    return Query(pages, [_identifier(item.strip(), "bought") for item in bought.split(",")] if bought else [])


def query_of_json(line: str | bytes) -> Query:
    """Return the query of one JSON object.

    ``{"session": [["p1", 12], "p2"], "bought": ["i1"]}``: a page is an id, or a pair of an id and its seconds;
    ids are strings or whole numbers; either key may be absent, not both.

    Raises
    ------
    DataError : it is no JSON, or not of this form.
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"this is no JSON in UTF-8: {error}") from error
    if not isinstance(found, dict) or not found or not found.keys() <= {"session", "bought"}:
        raise DataError(f'expected {{"session": [...], "bought": [...]}}, not {_short(found)}')
    for key, value in found.items():
        if not isinstance(value, list):
            raise DataError(f"{key} is a list of ids, not {_short(value)}")
    return Query(
        [_page(value, f"session[{index}]") for index, value in enumerate(found.get("session", []))],
        [_identifier(value, f"bought[{index}]") for index, value in enumerate(found.get("bought", []))],
    )


def _short(value: Any) -> str:
    return json.dumps(value)[:80]


def _page(value: Any, where: str) -> tuple[str, float]:
    if not isinstance(value, list):
        return _identifier(value, where), 1.0
    if len(value) != 2:
        raise DataError(f'{where} is an id, or a pair ["page", seconds], not {_short(value)}')
    return _identifier(value[0], where), _seconds(value[1], where)


def _identifier(value: Any, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise DataError(f"{where}: an id is a string or a whole number, and not empty, not {_short(value)}")
    return str(value)


def _seconds(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= LONGEST_DWELL:
        raise DataError(f'{where}: the dwell time is a number of seconds, at least 0, such as p1:12 or ["p1", 12]')
    return float(value)


def answer_record(answer: Answer, about: Callable[[str], dict[str, Any] | None] | None = None) -> dict[str, Any]:
    """Return an answer in plain dicts, lists and numbers, with what ``about`` says of an item as its ``metadata``."""
    items: list[dict[str, Any]] = [{"item": item, "probability": probability} for item, probability in answer.items]
    if about is not None:
        for one in items:
            if metadata := about(one["item"]):
                one["metadata"] = metadata
    return {"items": items, "unknown_pages": answer.unknown_pages, "unknown_bought": answer.unknown_bought}


def bars(answer: Answer, width: int = 24, blocks: str = "█░") -> list[tuple[str, str, str, str]]:
    """Return a row per item: place, item, probability, and a bar of ``width`` blocks, full for the best."""
    best = max((probability for _, probability in answer.items), default=0.0) or 1.0
    return [
        (
            str(place),
            item,
            f"{probability:.4f}",
            (blocks[0] * round(width * probability / best)).ljust(width, blocks[1]),
        )
        for place, (item, probability) in enumerate(answer.items, 1)
    ]
