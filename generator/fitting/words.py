"""What the words of an event column mean: a view, a purchase, or neither."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from generator.data.log.words import nearest

__all__ = ["Meanings", "meanings_of"]

# The words known by what they mean, in small letters without what parts them.
PLAIN = {
    "view": "view views viewed click clicks clicked pv pageview pageviews pageviewed pageping detail details "
    "detailview detailviews viewitem viewcontent contentview itemview itemviewed productview productviewed "
    "productdetail productdetails productdetailview productclick selectitem clickitem visit visited read open opened "
    "browse show watch listen play screenview",
    "buy": "buy buys bought purchase purchases purchased order orders ordered ordercompleted ordercomplete orderplaced "
    "transaction transactions sale sold checkoutcompleted completeorder paid pay payment conversion booking booked "
    "book clickoutitem clickout",
    "other": "cart carts addtocart addcart addedtocart productadded basket addtobasket removefromcart removecart "
    "productremoved fav favorite favourite favorites wishlist addtowishlist like share rate search searchforitem "
    "filter sort scroll impression impressions viewitemlist productlistviewed begincheckout checkout checkoutstarted "
    "addpaymentinfo addshippinginfo login logout signup sessionstart firstvisit userengagement refund orderrefunded",
}
KIND_OF = {word: kind for kind, words in PLAIN.items() for word in words.split()}


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
        kind = given.get(word) or _known(word)
        if kind is None:
            kind = nearest(word)
            (unknown if kind is None else guessed).append(word)
        kinds[word] = kind or "other"
    if len(words) == 1 and unknown:
        kinds[words[0]] = "view"
    return Meanings(kinds, tuple(guessed), tuple(unknown))


def _known(word: str) -> str | None:
    return KIND_OF.get(re.sub(r"[^a-z0-9]", "", word.lower()))
