"""Which column of a log plays which role, by its name."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Roles", "roles_of"]

# Names by role, as `_bare` has them, those that say it best first.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "user": tuple(
        "user userid uid visitorid visitor fullvisitorid userpseudoid customerid customer clientid client memberid "
        "member accountid account anonymousid domainuserid cookieid cookie deviceid device personid profileid "
        "idvisitor reviewerid".split()
    ),
    "session": tuple(
        "session sessionid usersession sid visitid visit idvisit gasessionid domainsessionid sess sessid sessionidhash "
        "sessionkey".split()
    ),
    "time": tuple(
        "time timestamp ts eventtime eventtimestamp clicktimestamp datetime eventdatetime servertime servertimestamp "
        "servertimestampepochms derivedtstamp collectortstamp unixtime epoch createdat created occurredat loggedat "
        "receivedat date when t".split()
    ),
    "page": tuple(
        "page pageid url pageurl pagepath pagelocation path uri link href route clickarticleid articleid article "
        "contentid content documentid document newsid storyid postid videoid video trackid track songid movieid".split()
    ),
    "item": tuple(
        "item itemid productid product productskuhash sku skuid productsku asin goodsid goods aid offerid offer "
        "articlenumber listingid hotelid isbn reference".split()
    ),
    "event": tuple(
        "event eventtype eventname action actiontype productaction behavior behaviour behaviortype interaction "
        "interactiontype activity activitytype verb eventaction kind type".split()
    ),
    "category": tuple(
        "category categoryid categorycode itemcategory productcategory cat catid cate department section topic".split()
    ),
}


@dataclass(frozen=True)
class Roles:
    """The column of each role, and for each role the columns that might have been it as well, best first."""

    columns: dict[str, str]
    others: dict[str, list[str]]


def roles_of(names: Sequence[str], given: Mapping[str, str]) -> Roles:
    """Return the column of each role, those that are ``given`` as they are.

    >>> roles_of(["visitorid", "ts", "url", "action"], {}).columns
    {'user': 'visitorid', 'time': 'ts', 'page': 'url', 'event': 'action'}
    """
    columns, others = dict(given), {}
    for role, synonyms in SYNONYMS.items():
        found = [name for name in names if _bare(name) in synonyms and name not in columns.values()]
        found.sort(key=lambda name: synonyms.index(_bare(name)))
        if role in given or not found:
            continue
        columns[role] = found[0]
        if found[1:]:
            others[role] = found[1:]
    return Roles(columns, others)


def _bare(name: str) -> str:
    """Return a name in small letters and digits, without the type that RecBole adds to it."""
    return re.sub(r"[^a-z0-9]", "", name.split(":", maxsplit=1)[0].lower())
