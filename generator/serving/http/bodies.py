"""What clients send, with its bounds, and what they are answered."""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from generator.data.log.bounds import LATEST, LONGEST_DWELL, LONGEST_LABEL, PRINTABLE
from generator.serving.store.store import LONGEST_LIST

__all__ = [
    "Count",
    "Label",
    "ListBody",
    "ListChange",
    "PurchaseBody",
    "SessionId",
    "VisitBody",
    "WishFields",
    "findings",
]

PATH_PART = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\ufffd/]+$"


def _text(value: Any) -> Any:
    """Take a whole number for an id, as `drn recommend` does."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


_Text = Annotated[str, Field(min_length=1, max_length=LONGEST_LABEL, pattern=PRINTABLE)]
Label = Annotated[_Text, BeforeValidator(_text, json_schema_input_type=_Text | int)]
SessionId = Annotated[str, Field(min_length=1, max_length=128, pattern=PATH_PART)]
Count = Annotated[int, Field(ge=1, le=1000)]
Moment = Annotated[float, Field(ge=0, lt=LATEST)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    event: Label | None = Field(
        None, description="Your id of this event, unique in the session: sent again, it counts once. Drawn if absent."
    )
    time: Moment | None = Field(None, description="Unix seconds at which it happened; now if absent.")
    user: Label | None = Field(None, description="Who; a session is of one user.")


# Tuples, because pydantic copies a default that may be changed for every body.
Ids = Annotated[tuple[Label, ...], Field(max_length=1000)]
Names = Annotated[tuple[SessionId, ...], Field(max_length=20)]


class WishFields(BaseModel):
    """Which items may be recommended, beside what lists hide from all."""

    model_config = ConfigDict(extra="forbid")

    exclude: Ids = Field((), description="Items that are not wanted.")
    only: Ids | None = Field(None, description="Items that alone are wanted.")
    exclude_lists: Names = Field((), description="Lists whose items are not wanted.")
    only_lists: Names = Field((), description="Lists whose items alone are wanted, those of each.")
    unseen: bool = Field(False, description="Whether what the session has visited is left out.")
    unbought: bool = Field(False, description="Whether what was bought, in this session or before, is left out.")


class VisitBody(WishFields, _Body):
    """A page visit, and which items may be recommended after it."""

    page: Label = Field(description="The page, by its id in the data; one the model does not know counts as none.")
    dwell: Annotated[float, Field(ge=0, le=LONGEST_DWELL)] | None = Field(
        None, description="Seconds on the page if they are known already; else they last until the next visit."
    )


class PurchaseBody(_Body):
    """A purchase."""

    item: Label = Field(description="The item, by its id in the data.")


Items = Annotated[list[Label], Field(max_length=LONGEST_LIST)]


class ListBody(BaseModel):
    """A list of items."""

    model_config = ConfigDict(extra="forbid")

    items: Items = Field(description="Ids; those that the model does not know are fine.")
    hidden: bool = Field(False, description="Whether they are left out of every recommendation: what is out of stock.")


class ListChange(BaseModel):
    """A change of a list: what is added, then what is removed."""

    model_config = ConfigDict(extra="forbid")

    add: Items = []
    remove: Items = []


class ListView(BaseModel):
    """A list of items, by id."""

    name: str
    hidden: bool
    items: list[str]


class ModelName(BaseModel):
    """A model and its version."""

    name: str
    version: int


class Item(BaseModel):
    """A recommended item."""

    item: str
    probability: float
    metadata: dict[str, str | float | bool] | None = Field(
        None, description="What the file of --items says of it, by column; absent where that says nothing."
    )


class Recommendations(BaseModel):
    """The top items of a session, best first."""

    session: str
    event: str | None = Field(description="Id of the event recorded; null where none was.")
    model: ModelName
    items: list[Item]
    unknown_pages: int = Field(description="Visits passed over: the model does not know their pages.")
    unknown_bought: int = Field(description="Purchases passed over: the model does not know their items.")


class Recorded(BaseModel):
    """An event recorded."""

    session: str
    event: str


class Stay(BaseModel):
    """A page and the seconds on it."""

    page: str
    dwell: float


class Aged(Stay):
    """A collapsed state and its aging factor."""

    weight: float


class SessionView(BaseModel):
    """A session as its store keeps it, and what of it the net sees."""

    session: str
    user: str | None
    start: float | None
    seen: float
    visits: list[Stay]
    window: list[Stay]
    history: list[Aged]
    bought: list[str]
    purchases: list[str]
    unknown_pages: int
    model: ModelName


class Purchase(BaseModel):
    """A purchase of a user."""

    item: str
    time: float
    session: str


class UserView(BaseModel):
    """A user and the newest purchases, oldest first."""

    user: str
    purchases: list[Purchase]


class Problem(BaseModel):
    """What was wrong with a request, or why it cannot be answered now."""

    error: str


def findings(error: ValidationError) -> str:
    """Return what is wrong with a body, without what was sent: answers go where logs go."""
    return "; ".join(
        f"{_where(one)}: {one['msg']}" for one in error.errors(include_url=False, include_input=False)[:20]
    )


def _where(one: ErrorDetails) -> str:
    """Return the field of a finding; a key that no field has is the client's text."""
    if one["type"] == "extra_forbidden":
        return "a key that is no field"
    return ".".join(map(str, one["loc"])) or "value"


_SESSION, _LABEL, _COUNT = TypeAdapter(SessionId), TypeAdapter(Label), TypeAdapter(Count)


def session_id(value: str) -> str:
    """Return a session id of a path; ValidationError if it does not hold."""
    return _SESSION.validate_python(value)


def label(value: str) -> str:
    """Return a label of a path or query; ValidationError if it does not hold."""
    return _LABEL.validate_python(value)


def count(value: str) -> int:
    """Return a number of items of a query; ValidationError if it does not hold."""
    return _COUNT.validate_python(value)


def wish(query: Iterable[tuple[str, str]]) -> WishFields:
    """Return which items a query wants; ValidationError if it does not hold."""
    found: dict[str, Any] = {}
    for name, value in query:
        if name in ("unseen", "unbought"):
            found[name] = value
        elif name in WishFields.model_fields:
            found.setdefault(name, []).append(value)
    return WishFields.model_validate(found)
