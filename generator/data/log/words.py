"""The words of a log for its events, and what they mean: view, buy or other."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from generator.errors import DataError

__all__ = ["KINDS", "WORDS", "Meanings", "kinds_of", "logs_and_words", "meanings_of", "meant", "nearest", "parsed"]

KINDS = ("view", "buy", "other")
WORDS = {"view": "view", "buy": "buy", "other": "other"}  # of the format `events`
ENUM = pl.Enum(KINDS)


@dataclass(frozen=True)
class _Signs:
    """What tells a kind: words in small letters without what parts them, and parts that make others likely."""

    words: str
    parts: tuple[str, ...]


# Of the parts the first that a word holds counts, in this order.
SIGNS = {
    "other": _Signs(
        "cart carts addtocart addcart addedtocart productadded basket addtobasket removefromcart removecart "
        "productremoved fav favorite favourite favorites wishlist addtowishlist like share rate search searchforitem "
        "filter sort scroll impression impressions viewitemlist productlistviewed begincheckout checkout "
        "checkoutstarted addpaymentinfo addshippinginfo login logout signup sessionstart firstvisit userengagement "
        "refund orderrefunded",
        (
            *("cart", "basket", "remove", "wish", "fav", "return", "refund", "cancel"),
            *("list", "search", "sort", "begin", "impression"),
        ),
    ),
    "buy": _Signs(
        "buy buys bought purchase purchases purchased order orders ordered ordercompleted ordercomplete orderplaced "
        "transaction transactions sale sold checkoutcompleted completeorder paid pay payment conversion booking booked "
        "book clickoutitem clickout",
        ("buy", "purchase", "order", "transaction", "conversion", "sale", "sold", "paid", "bought"),
    ),
    "view": _Signs(
        "view views viewed click clicks clicked pv pageview pageviews pageviewed pageping detail details detailview "
        "detailviews viewitem viewcontent contentview itemview itemviewed productview productviewed productdetail "
        "productdetails productdetailview productclick selectitem clickitem visit visited read open opened browse show "
        "watch listen play screenview",
        ("view", "click", "pv", "detail", "visit", "page", "read", "play", "open", "interaction"),
    ),
}
KIND_OF = {word: kind for kind, signs in SIGNS.items() for word in signs.words.split()}


@dataclass(frozen=True)
class Meanings:
    """The kind (view, buy, other) of each word, and the words whose kind is a guess or not known at all."""

    kinds: dict[str, str]
    guessed: tuple[str, ...]
    unknown: tuple[str, ...]


def meanings_of(words: Iterable[str], given: Mapping[str, str]) -> Meanings:
    """Return what ``words`` mean; those in ``given``, kind by word, mean that.

    A log of one unknown word is a log of views.

    >>> meanings_of(["detail", "order_v2", "hover"], {}).kinds
    {'detail': 'view', 'order_v2': 'buy', 'hover': 'other'}
    """
    words = list(words)
    kinds: dict[str, str] = {}
    guessed: list[str] = []
    unknown: list[str] = []
    for word in words:
        kind = given.get(word) or KIND_OF.get(re.sub(r"[^a-z0-9]", "", word.lower()))
        if kind is None:
            kind = nearest(word)
            (unknown if kind is None else guessed).append(word)
        kinds[word] = kind or "other"
    if len(words) == 1 and unknown:
        kinds[words[0]] = "view"
    return Meanings(kinds, tuple(guessed), tuple(unknown))


def nearest(word: str) -> str | None:
    """Return the kind that a word is likely to mean, None if there is no telling.

    Examples
    --------
    >>> nearest("Order Completed"), nearest("add_to_cart"), nearest("scroll")
    ('buy', 'other', None)
    """
    low = word.lower()
    return next((kind for kind, signs in SIGNS.items() if any(part in low for part in signs.parts)), None)


def parsed(texts: Sequence[str]) -> dict[str, str]:
    """Return what words mean, by ``KIND=word,word`` texts, each perhaps several with spaces between.

    Raises
    ------
    DataError
        A kind is none of KINDS, or a word has two meanings.

    Examples
    --------
    >>> parsed(["view=click,detail buy=order"])
    {'click': 'view', 'detail': 'view', 'order': 'buy'}
    """
    found: dict[str, str] = {}
    for text in " ".join(texts).split():
        kind, _, words = text.partition("=")
        if kind not in KINDS or not words.strip(","):
            raise DataError(f"--events has {text!r}: write KIND=word,word where KIND is {', '.join(KINDS)}")
        for word in filter(None, words.split(",")):
            if found.setdefault(word, kind) != kind:
                raise DataError(f"--events says that {word!r} is {found[word]} and {kind}: a word has one meaning")
    return found


def logs_and_words(logs: Sequence[str], texts: Sequence[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the logs of a command line and what words mean: what follows ``--events KIND=WORD`` may be more of these.

    Examples
    --------
    >>> logs_and_words(["log.csv", "buy=order"], ["view=click"])
    (('log.csv',), {'click': 'view', 'order': 'buy'})
    """
    said = [each for each in logs if texts and each.partition("=")[0] in KINDS and not Path(each).exists()]
    return tuple(each for each in logs if each not in said), parsed([*texts, *said])


def kinds_of(words: Mapping[str, str], column: pl.Series) -> pl.Series:
    """Return the kinds (Enum of KINDS) of an Enum column of ``words``, null where it is, in the same chunks."""
    kinds = pl.Series("event", list(words.values()), ENUM)
    # A column whose chunks are not those of its frame makes polars copy the whole frame.
    return pl.concat([kinds.gather(chunk.to_physical()) for chunk in column.get_chunks()])


def meant(words: Mapping[str, int]) -> list[str]:
    """Return a line for each word of unknown meaning, the most frequent first, with what it is likely to mean."""
    lines = []
    for word, count in sorted(words.items(), key=lambda pair: (-pair[1], pair[0])):
        kind = nearest(word)
        hint = f"; say --events {kind}={word}" if kind and " " not in word else ""
        lines.append(f"{word}: {count:,} rows{hint}")
    return lines
