"""Public formats of nested records, JSON lines or Parquet: the flat rows of each record."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from generator.data.log.layouts import ROLES, Layout

Record = Mapping[str, Any]
Rows = Iterator[Record]


def _layout(words: Mapping[str, str], *, lenient: bool, without: tuple[str, ...] = ()) -> Layout:
    """Return the layout of flat rows, whose columns are the roles; none of these formats has dwell times."""
    names = tuple(role for role in ROLES if role not in ("dwell", *without))
    return Layout(names, {role: pl.col(role) for role in names}, words, lenient=lenient)


def _several(record: Record, name: str) -> list[Record]:
    """Return the records in a field, none where it is absent."""
    return list(record.get(name) or ())


OTTO = _layout({"clicks": "view", "orders": "buy", "carts": "other"}, lenient=False, without=("session", "category"))


def otto(record: Record) -> Rows:
    """Yield the events of a stream."""
    for event in _several(record, "events"):
        item = event["aid"]
        yield {
            "user": record["session"],
            "time": event["ts"],
            "page": item,
            "item": item,
            "event": event["type"],
        }


GA4 = _layout({"view_item": "view", "purchase": "buy"}, lenient=True)


def ga4(record: Record) -> Rows:
    """Yield an event for each of its items, or one for its page."""
    values = {each["key"]: each.get("value") or {} for each in _several(record, "event_params")}
    session = values.get("ga_session_id", {}).get("int_value")
    base = {
        "user": record["user_pseudo_id"],
        "session": None if session is None else f"{record['user_pseudo_id']}.{session}",
        "time": record["event_timestamp"],
        "event": record["event_name"],
    }
    items = [item for item in _several(record, "items") if item.get("item_id")]
    for item in items:
        label = item["item_id"]
        yield {**base, "page": label, "item": label, "category": item.get("item_category")}
    if not items:
        yield {**base, "page": values.get("page_location", {}).get("string_value")}


GA360 = _layout({"2": "view", "6": "buy", **dict.fromkeys("0134578", "other")}, lenient=True)


def ga360(record: Record) -> Rows:
    """Yield an event for each product of each hit, or one for its page."""
    for hit in _several(record, "hits"):
        base = {
            "user": record["fullVisitorId"],
            "session": f"{record['fullVisitorId']}.{record['visitId']}",
            "time": float(record["visitStartTime"]) + float(hit.get("time") or 0) / 1e3,
            "event": (hit.get("eCommerceAction") or {}).get("action_type") or "0",
        }
        products = [one for one in _several(hit, "product") if one.get("productSKU") and not one.get("isImpression")]
        for one in products:
            label = one["productSKU"]
            yield {**base, "page": label, "item": label, "category": one.get("v2ProductCategory")}
        if not products:
            yield {**base, "event": "0", "page": (hit.get("page") or {}).get("pagePath")}


SEGMENT = _layout({"Product Viewed": "view", "Order Completed": "buy"}, lenient=True, without=("session",))


def segment(record: Record) -> Rows:
    """Yield an event for each product of a call, or one for its page."""
    told = record.get("properties") or {}
    base = {
        "user": record.get("anonymousId") or record.get("userId"),
        "time": record.get("originalTimestamp") or record["timestamp"],
        "event": record.get("event") or record["type"],
    }
    products = [one for one in _several(told, "products") or [told] if one.get("product_id") or one.get("sku")]
    for one in products:
        label = one.get("product_id") or one["sku"]
        yield {**base, "page": label, "item": label, "category": one.get("category")}
    if not products:
        yield {**base, "page": told.get("path") or told.get("url")}


MATOMO = _layout({"product": "view", "action": "view", "ecommerceOrder": "buy"}, lenient=True)


def matomo(record: Record) -> Rows:
    """Yield the actions of a visit; of an order, its items."""
    for action in _several(record, "actionDetails"):
        kind, product = action["type"], action.get("productViewSku")
        base = {
            "user": record["visitorId"],
            "session": record["idVisit"],
            "time": action["timestamp"],
            "event": "product" if kind == "action" and product else kind,
        }
        if kind == "ecommerceOrder":
            for item in _several(action, "itemDetails"):
                label = item["itemSKU"]
                yield {**base, "page": label, "item": label, "category": item.get("itemCategory")}
        else:
            yield {**base, "page": product or action.get("url"), "item": product}
