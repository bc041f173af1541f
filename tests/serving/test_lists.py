"""Which items may be shown: at every request, and by lists that outlive the service."""

import uuid

import pytest
from served import ITEMS, Drn

from generator.model.model import Model
from generator.model.query import Query
from generator.serving.store.open import open_store
from generator.serving.store.store import LONGEST_LIST, LongListError


def new() -> str:
    return uuid.uuid4().hex


def shown(answer) -> list[str]:
    return [one["item"] for one in answer["items"]]


@pytest.fixture(scope="module")
def every(repository):
    """All items as the model ranks them after p1, with their probabilities."""
    return dict(Model(repository).recommend([Query([("p1", 1)])], len(ITEMS))[0].items)


def ask(drn, **wish):
    status, answer, _ = drn("POST", f"/v1/sessions/{new()}/visits?k=12", {"page": "p1", **wish})
    assert status == 200
    return answer


def test_each_request_may_say_what_is_wanted(drn, every):
    ranked = list(every)
    assert shown(ask(drn)) == ranked[:12]  # more than the graph ranks by itself
    answer = ask(drn, exclude=[*ranked[:4], "unheard of"])
    assert shown(answer) == ranked[4:16]
    for one in answer["items"]:  # stated as if nothing had been left out
        assert one["probability"] == pytest.approx(every[one["item"]], rel=1e-5)
    assert shown(ask(drn, only=[ranked[18], ranked[2], "unheard of"])) == [ranked[2], ranked[18]]
    assert shown(ask(drn, only=[])) == []
    assert shown(ask(drn, only=ranked[:6], exclude=ranked[1:3])) == [ranked[0], *ranked[3:6]]


def test_a_query_may_say_it_too(drn, every):
    ranked, session = list(every), new()
    drn.visit(session, "p1")
    path = f"/v1/sessions/{session}/recommendations?k=5"
    assert shown(drn("GET", f"{path}&exclude={ranked[0]}&exclude={ranked[2]}")[1]) == [ranked[1], *ranked[3:7]]
    assert shown(drn("GET", f"{path}&only={ranked[9]}")[1]) == [ranked[9]]
    assert drn("GET", f"{path}&unseen=perhaps")[0] == 422
    assert drn("GET", f"{path}&only_lists=nowhere")[0] == 404


def test_what_was_seen_or_bought_is_left_out_when_asked(drn, every):
    ranked, session, user = list(every), new(), new()
    before = new()
    drn("POST", f"/v1/sessions/{before}/purchases", {"item": "i4", "user": user, "time": 5})
    for page in ("i1", "i2", "p1"):
        drn.visit(session, page, user=user)
    drn("POST", f"/v1/sessions/{session}/purchases", {"item": "i3", "user": user})
    path = f"/v1/sessions/{session}/recommendations?k=1000"
    assert sorted(shown(drn("GET", path)[1])) == sorted(ranked)
    assert set(ranked) - set(shown(drn("GET", f"{path}&unseen=true")[1])) == {"i1", "i2"}
    assert set(ranked) - set(shown(drn("GET", f"{path}&unbought=true")[1])) == {"i3", "i4"}


def test_lists_are_put_changed_read_and_dropped(repository, store_url, every):
    ranked = list(every)
    drn = Drn(repository, store_url)
    assert drn("GET", "/v1/lists")[1] == {"lists": []}
    assert drn("PATCH", "/v1/lists/stock", {"add": ["i1"]})[0] == drn("DELETE", "/v1/lists/stock")[0] == 404
    put = drn("PUT", "/v1/lists/stock", {"items": [*ranked[:3], "unheard of"], "hidden": True})
    assert put[:2] == (200, {"name": "stock", "hidden": True, "items": sorted([*ranked[:3], "unheard of"])})
    assert shown(ask(drn)) == ranked[3:15]
    changed = drn("PATCH", "/v1/lists/stock", {"add": [ranked[5]], "remove": [ranked[0], "unheard of"]})
    assert changed[1]["items"] == sorted([*ranked[1:3], ranked[5]])
    assert shown(ask(drn)) == [ranked[0], *ranked[3:5], *ranked[6:15]]
    drn("PUT", "/v1/lists/summer", {"items": ranked[10:14]})
    assert shown(ask(drn, only_lists=["summer"])) == ranked[10:14]
    assert shown(ask(drn, exclude_lists=["summer"]))[-1] == ranked[18]
    assert drn.visit("s", "p1", only_lists=["winter"])[0] == 404
    assert drn("GET", "/v1/sessions/s")[0] == 404  # nothing was recorded
    assert drn.stop() == 0
    again = Drn(repository, store_url)
    index = again("GET", "/v1/lists")[1]["lists"]
    assert index == [{"name": "stock", "items": 3, "hidden": True}, {"name": "summer", "items": 4, "hidden": False}]
    assert shown(ask(again)) == [ranked[0], *ranked[3:5], *ranked[6:15]]
    assert again("DELETE", "/v1/lists/stock")[0] == 204
    assert shown(ask(again)) == ranked[:12]
    assert again.stop() == 0


def test_a_list_changed_by_another_server_is_seen(repository, store_url, every):
    one, other = Drn(repository, store_url), Drn(repository, store_url)
    best = next(iter(every))
    one("PUT", "/v1/lists/stock", {"items": [best], "hidden": True})
    while best in shown(ask(other)):  # until its next look
        pass
    assert one.stop() == other.stop() == 0


def test_concurrent_changes_of_a_list_are_all_there(store, store_url):
    import concurrent.futures

    store.put_list("stock", [], hidden=True)
    other = open_store(store_url)
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        changes = [
            threads.submit(part.change_list, "stock", [f"{place}-{number}"], [])
            for number in range(20)
            for place, part in enumerate((store, other))
        ]
        assert all(change.result() for change in changes)
    assert len(other.item_list("stock").items) == 40
    other.close()


@pytest.mark.parametrize("body", [{}, {"items": "i1"}, {"items": [""]}, {"items": ["a\nb"]}, {"items": [], "more": 1}])
def test_a_list_that_does_not_hold_is_refused(drn, body):
    assert drn("PUT", "/v1/lists/stock", body)[0] == 422


def test_a_long_list_is_taken(drn):
    items = [f"item-{number}" for number in range(150_000)]
    status, answer, _ = drn("PUT", "/v1/lists/long", {"items": items})
    assert (status, len(answer["items"])) == (200, 150_000)
    assert drn("PUT", "/v1/lists/long", {"items": ["x" * 200] * 30_000})[0] == 413
    assert drn("DELETE", "/v1/lists/long")[0] == 204


def test_no_list_grows_beyond_its_bound(store):
    store.put_list("stock", map(str, range(LONGEST_LIST - 1)), hidden=True)
    assert store.change_list("stock", ["a", "b"], ["0", "b"])
    with pytest.raises(LongListError, match="200000 items at most"):
        store.change_list("stock", ["c", "d", "e"], ["1"])
    items = store.item_list("stock").items
    assert "a" in items
    assert not items & {"b", "c", "d", "e", "0"}
    assert len(items) == LONGEST_LIST - 1


def test_a_change_that_makes_a_list_too_long_is_refused(drn):
    assert drn("PUT", "/v1/lists/long", {"items": [f"item-{number}" for number in range(150_000)]})[0] == 200
    status, answer, _ = drn("PATCH", "/v1/lists/long", {"add": [f"more-{number}" for number in range(60_000)]})
    assert (status, "200000 items at most" in answer["error"]) == (422, True)
    assert drn("GET", "/v1/lists")[1]["lists"][0]["items"] == 150_000
    assert drn("DELETE", "/v1/lists/long")[0] == 204
