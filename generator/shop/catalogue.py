"""The catalogue of a simulated shop: its items, the pages they are on, and what users choose of a category."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.shop.options import Shop

__all__ = ["FIXED", "LEVELS", "RELATED", "Catalogue", "choose", "open_shop"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

LEVELS = 3  # price levels of items and of users
RELATED = 6  # similar products a product page links to
CARRIED = 5  # brands a category carries; there are as many brands as categories
ZIPF = 1.2  # the r-th item of a category draws r**-ZIPF of its interest
PRICE = 1.0  # interest falls by exp(-PRICE) with each price level between user and item
FIXED = ("home", "search", "cart")  # pages 0, 1 and 2


@dataclass(frozen=True)
class Catalogue:
    """Items and the pages they are on.

    Attributes
    ----------
    category, brand, price, complement
        int64 (N,): of each item 0..N-1, a category's items being neighbours, its category, brand, price level, and the
        item of another category that goes with it.
    related
        int64 (N, RELATED): the items of the same category which its page links to.
    interest
        float64 (LEVELS * N,): for each price level of users and each category (row = level * C + category) the
        cumulative chances of its items, plus the row.
    """

    category: Ints
    brand: Ints
    price: Ints
    complement: Ints
    related: Ints
    interest: Floats

    @property
    def first_item(self) -> int:
        """Page id of item 0; category 0 has page id 3."""
        return len(FIXED) + int(self.category[-1]) + 1

    @cached_property
    def pages(self) -> list[str]:
        """Name of each page id: the fixed pages, the categories, the items."""
        return [*FIXED, *map("cat-{}".format, range(self.first_item - len(FIXED))), *self.items]

    @cached_property
    def items(self) -> list[str]:
        """Name of each item."""
        return list(map("item-{}".format, range(len(self.category))))

    def pick(self, level: Ints, category: Ints, rng: np.random.Generator) -> Ints:
        """Return an item (S,) of each ``category`` (S,) as users of price ``level`` (S,) choose."""
        return _pick(self.interest, self.category, level, category, rng)

    def describe(self) -> list[dict[str, Any]]:
        """Return the items as JSON holds them."""
        return [
            {
                "item": name,
                "category": f"cat-{self.category[i]}",
                "brand": int(self.brand[i]),
                "price": int(self.price[i]),
                "complement": self.items[self.complement[i]],
            }
            for i, name in enumerate(self.items)
        ]


def choose(cumulative: Floats, row: Ints, rng: np.random.Generator) -> Ints:
    """Return, for each of the rows ``row`` (S,), a flat index into ``cumulative`` drawn with that row's chances.

    ``cumulative`` holds the rows one after another, each the cumulative chances plus the number of the row, so
    that one binary search serves them all.
    """
    return np.searchsorted(cumulative, row + rng.random(len(row)), side="right").astype(np.int64)


def _pick(interest: Floats, categories: Ints, level: Ints, category: Ints, rng: np.random.Generator) -> Ints:
    found = choose(interest, level * (categories[-1] + 1) + category, rng) - level * len(categories)
    last: Ints = np.searchsorted(categories, category, side="right") - 1
    return np.asarray(np.minimum(found, last))  # rounding may step over the end of a row


def open_shop(options: Shop) -> Catalogue:
    """Return the catalogue that ``options`` ask for, the same for the same seed, items and categories."""
    rng = np.random.default_rng([options.seed, 0])
    items, categories = options.items, options.categories
    category = np.arange(items) * categories // items
    start = np.searchsorted(category, np.arange(categories))
    size = np.bincount(category)
    popularity = (np.arange(items) - start[category] + 1.0) ** -ZIPF
    price = rng.integers(0, LEVELS, items)
    interest = popularity * np.exp(-PRICE * np.abs(price - np.arange(LEVELS)[:, None]))
    flat = _cumulative(interest, start, size)
    cycle = rng.permutation(categories)
    partner = np.empty(categories, np.int64)
    partner[cycle] = np.roll(cycle, -1)
    other = partner[category]
    complement = start[other] + np.minimum(np.arange(items) - start[category], size[other] - 1)
    own = np.repeat(np.arange(items), RELATED)
    related = _pick(flat, category, price[own], category[own], rng)
    first, count = start[category[own]], size[category[own]]
    related = np.where(related == own, first + (own - first + 1) % count, related)
    carried = rng.integers(0, max(CARRIED, categories), (categories, CARRIED))
    return Catalogue(
        category=category,
        brand=carried[category, rng.integers(0, CARRIED, items)],
        price=price,
        complement=complement,
        related=related.reshape(items, RELATED),
        interest=flat,
    )


def _cumulative(interest: Floats, start: Ints, size: Ints) -> Floats:
    """Return (LEVELS, N) weights as the flat rows that ``choose`` reads: a row a level and category."""
    total = np.add.reduceat(interest, start, axis=1)
    share = interest / np.repeat(total, size, axis=1)
    running = np.cumsum(share, axis=1)
    before = np.repeat((running - share)[:, start], size, axis=1)
    row = np.arange(LEVELS)[:, None] * len(size) + np.repeat(np.arange(len(size)), size)
    return np.asarray((row + np.minimum(running - before, 1.0)).ravel())
