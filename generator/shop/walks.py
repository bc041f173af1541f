"""Walks of users through the page graph of a simulated shop."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from generator.shop.catalogue import FIXED, LEVELS, RELATED, Catalogue, choose

__all__ = ["ACTIONS", "REACHED", "Action", "Kind", "Walks", "walk"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

SHORTEST, LONGEST = 4, 20  # pages of a session
TASTE = 5.0  # sum of the Dirichlet parameters of a user's taste over categories
CATEGORY_ZIPF = 0.7
OFFER = 0.5  # share of sessions from home that follow a product the home page puts forward


class Kind(IntEnum):
    """What a user looks at; an OFFER is a product that the home page put forward."""

    HOME = 0
    SEARCH = 1
    CATEGORY = 2
    ITEM = 3
    CART = 4
    OFFER = 5


class Action(IntEnum):
    """A link of the page graph: where the next click goes."""

    HOME = 0
    SEARCH = 1
    CATEGORY = 2  # from home and search a category by the user's taste, else the present one
    PICK = 3  # a product of the present category
    RELATED = 4  # a product similar to the present one
    BACK = 5  # from a product to the one seen before it, else to the product seen last
    CART = 6


# Chances of the next action: [browsing, comparing][Kind][Action].
ACTIONS: Floats = np.array(
    [
        [
            [0.00, 0.30, 0.70, 0.00, 0.00, 0.00, 0.00],
            [0.00, 0.00, 1.00, 0.00, 0.00, 0.00, 0.00],
            [0.03, 0.03, 0.00, 0.88, 0.00, 0.06, 0.00],
            [0.06, 0.08, 0.36, 0.00, 0.44, 0.02, 0.04],
            [0.20, 0.15, 0.45, 0.00, 0.00, 0.20, 0.00],
            [0.20, 0.20, 0.60, 0.00, 0.00, 0.00, 0.00],
        ],
        [
            [0.00, 0.40, 0.60, 0.00, 0.00, 0.00, 0.00],
            [0.00, 0.00, 1.00, 0.00, 0.00, 0.00, 0.00],
            [0.02, 0.03, 0.00, 0.77, 0.00, 0.18, 0.00],
            [0.05, 0.07, 0.26, 0.00, 0.46, 0.09, 0.07],
            [0.20, 0.15, 0.45, 0.00, 0.00, 0.20, 0.00],
            [0.20, 0.20, 0.60, 0.00, 0.00, 0.00, 0.00],
        ],
    ]
)
_GRAPH: Floats = (ACTIONS.cumsum(2).reshape(-1, len(Action)) + np.arange(2.0 * len(Kind))[:, None]).ravel()
_KIND = np.array([Kind.HOME, Kind.SEARCH, Kind.CATEGORY, Kind.ITEM, Kind.ITEM, Kind.ITEM, Kind.CART])  # after an Action
_FIXED_PAGE = np.array([0, 1, -1, -1, -1, -1, 2])  # page id after an Action
_ENTRANCES = (Kind.HOME, Kind.SEARCH, Kind.OFFER)
FROM_HOME = 0.75  # share of sessions that start on the home page, the others on search
DRIFT = 0.25  # chance, at each product, that the intent turns from browsing to comparing

# Log-odds that a look at a product adds to buying it, by the way it was reached.
REACHED = {
    "searched": 1.5,  # the first product after a search
    "browsed": -0.5,  # the first product after the home page
    "compared": 0.0,  # from the page of a similar product
    "returned": 1.0,  # A, another product, then back to A
    "reopened": -1.5,  # A, a page that is no product, then A again
    "carted": 3.0,  # the cart follows
}


@dataclass
class Walks:
    """S sessions of T pages or fewer; -1 where there is no page.

    Attributes
    ----------
    page
        int64 (S, T): page ids.
    appeal
        float64 (S, T): log-odds of a look at a product by how it was reached, and by the cart after it.
    offer
        int64 (S,): the product that the home page puts forward as page 1, -1 for none; the page is not filled in, for
        the shop may put forward what goes with an earlier purchase instead.
    """

    page: Ints
    appeal: Floats
    offer: Ints


def walk(user: Ints, catalogue: Catalogue, rng: np.random.Generator) -> Walks:
    """Walk the sessions of ``user`` (S,), numbers 0, 1, ..., through the page graph: step t of all of them at once."""
    sessions = len(user)
    length = np.minimum(SHORTEST + rng.negative_binomial(3, 0.33, sessions), LONGEST)
    longest = np.argsort(-length, kind="stable")  # longest first: those still walking are a prefix
    walking = sessions - np.searchsorted(np.sort(length), np.arange(LONGEST), side="right")

    walkers = _Walkers(user[longest], catalogue, rng)
    offer = (walkers.kind == Kind.HOME) & (rng.random(sessions) < OFFER)
    page, appeal = np.full((LONGEST, sessions), -1), np.zeros((LONGEST, sessions))
    page[0] = walkers.kind
    for t, n in enumerate(walking[1:].tolist(), start=1):
        walkers.keep(n)
        page[t, :n], appeal[t, :n], carted = walkers.step()
        appeal[t - 1, :n] += carted
        if t == 1:  # no session is shorter: the offers take the place of the first click
            page[t, offer] = -1
            offered = walkers.receive(offer)
    place = np.argsort(longest)
    return Walks(page.T[place], appeal.T[place], offered[place])


class _Walkers:
    """W users on their walk: arrays (W,) of where each of them is and what it remembers."""

    def __init__(self, user: Ints, catalogue: Catalogue, rng: np.random.Generator) -> None:
        users, categories = int(user.max()) + 1, int(catalogue.category[-1]) + 1
        share = np.arange(1.0, categories + 1) ** -CATEGORY_ZIPF
        taste = rng.dirichlet(TASTE * share / share.sum(), users).cumsum(1)
        self.catalogue, self.rng = catalogue, rng
        self.taste = (taste + np.arange(float(users))[:, None]).ravel()
        self.user = user
        self.level = rng.integers(0, LEVELS, users)[user]
        self.kind = np.where(rng.random(len(user)) < FROM_HOME, Kind.HOME, Kind.SEARCH).astype(np.int64)
        self.entry = self.kind.copy()  # home or search, until the first product after it
        self.category = np.zeros(len(user), np.int64)
        self.item = np.full(len(user), -1)
        self.before = np.full(len(user), -1)  # the product before self.item, another one
        self.comparing = np.zeros(len(user), np.int64)

    def keep(self, n: int) -> None:
        """Go on with the first ``n`` users."""
        for name in ("user", "level", "kind", "entry", "category", "item", "before", "comparing"):
            setattr(self, name, getattr(self, name)[:n])

    def step(self) -> tuple[Ints, Floats, Floats]:
        """Click once: return the new pages (W,), their appeal (W,), and what to add to that of the pages before."""
        action = choose(_GRAPH, self.comparing * len(Kind) + self.kind, self.rng) % len(Action)
        to = np.where(self.kind == Kind.ITEM, self.before, self.item)
        lost = (action == Action.BACK) & (to < 0)
        action[lost] = np.where(self.kind[lost] == Kind.ITEM, Action.RELATED, Action.PICK)
        appeal = self._appeal(action)
        carted = REACHED["carted"] * (action == Action.CART)

        self._open_category(np.flatnonzero((action == Action.CATEGORY) & np.isin(self.kind, _ENTRANCES)))
        found = self._find(action, to)
        product = found >= 0
        self.before = np.where(product & (found != self.item), self.item, self.before)
        self.item = np.where(product, found, self.item)
        self.category = np.where(product, self.catalogue.category[found], self.category)
        self.comparing |= product & (self.rng.random(len(product)) < DRIFT)
        self.kind = _KIND[action]
        self.entry = np.where(product, -1, np.where(action <= Action.SEARCH, action, self.entry))
        page = np.select(
            [product, action == Action.CATEGORY],
            [self.catalogue.first_item + found, len(FIXED) + self.category],
            _FIXED_PAGE[action],
        )
        return page, appeal, carted

    def receive(self, offer: Bools) -> Ints:
        """Put a product of their taste before the users of ``offer`` (W,); return it, -1 for the others."""
        self.kind[offer], self.entry[offer] = Kind.OFFER, -1
        who = np.flatnonzero(offer)
        self._open_category(who)
        product = np.full(len(offer), -1)
        product[who] = self.catalogue.pick(self.level[who], self.category[who], self.rng)
        return product

    def _appeal(self, action: Ints) -> Floats:
        """Return the log-odds of the product that ``action`` leads to, by the way there."""
        pick, back, at_item = action == Action.PICK, action == Action.BACK, self.kind == Kind.ITEM
        ways = {
            "searched": pick & (self.entry == Kind.SEARCH),
            "browsed": pick & (self.entry == Kind.HOME),
            "compared": action == Action.RELATED,
            "returned": back & at_item,
            "reopened": back & ~at_item,
        }
        return np.select(list(ways.values()), [REACHED[way] for way in ways], 0.0)

    def _open_category(self, who: Ints) -> None:
        """Let the users ``who`` choose a category by their taste."""
        categories = int(self.catalogue.category[-1]) + 1
        chosen = choose(self.taste, self.user[who], self.rng) - self.user[who] * categories
        self.category[who] = np.minimum(chosen, categories - 1)

    def _find(self, action: Ints, to: Ints) -> Ints:
        """Return the product each ``action`` leads to, -1 where it is none."""
        found = np.where(action == Action.BACK, to, -1)
        pick = np.flatnonzero(action == Action.PICK)
        found[pick] = self.catalogue.pick(self.level[pick], self.category[pick], self.rng)
        similar = np.flatnonzero(action == Action.RELATED)
        found[similar] = self.catalogue.related[self.item[similar], self.rng.integers(0, RELATED, len(similar))]
        return found
