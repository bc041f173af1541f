"""The words of a log for its events, and what they mean: view, buy or other."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from generator.errors import DataError

__all__ = ["KINDS", "WORDS", "kinds_of", "logs_and_words", "meant", "nearest", "parsed"]

KINDS = ("view", "buy", "other")
WORDS = {"view": "view", "buy": "buy", "other": "other"}  # of the format `events`
ENUM = pl.Enum(KINDS)

# What a word is likely to mean, where it holds one of these; the first that fits counts.
LIKELY = {
    "other": (
        *("cart", "basket", "remove", "wish", "fav", "return", "refund", "cancel"),
        *("list", "search", "sort", "begin", "impression"),
    ),
    "buy": ("buy", "purchase", "order", "transaction", "conversion", "sale", "sold", "paid", "bought"),
    "view": ("view", "click", "pv", "detail", "visit", "page", "read", "play", "open", "interaction"),
}


def nearest(word: str) -> str | None:
    """Return the kind that a word is likely to mean, None if there is no telling.

    Examples
    --------
    >>> nearest("Order Completed"), nearest("add_to_cart"), nearest("scroll")
    ('buy', 'other', None)
    """
    low = word.lower()
    return next((kind for kind, parts in LIKELY.items() if any(part in low for part in parts)), None)


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
    """Return the kinds (Enum of KINDS) of an Enum column of ``words``, null where it is."""
    return pl.Series("event", list(words.values()), ENUM).gather(column.to_physical())


def meant(words: Mapping[str, int]) -> list[str]:
    """Return a line for each word of unknown meaning, the most frequent first, with what it is likely to mean."""
    lines = []
    for word, count in sorted(words.items(), key=lambda pair: (-pair[1], pair[0])):
        kind = nearest(word)
        hint = f"; say --events {kind}={word}" if kind and " " not in word else ""
        lines.append(f"{word}: {count:,} rows{hint}")
    return lines
