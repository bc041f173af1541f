"""STAN and VSTAN: nearest neighbours by position and time."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from generator.data.sessions.ragged import Sessions
from generator.evaluation.neighbours import Neighbours, RowPages

__all__ = ["Stan", "Vstan"]

DAY = 86400.0
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(eq=False)
class Stan(Neighbours):
    """STAN: `Neighbours` by position, time, and the distance of their items from what is shared.

    A page of the row viewed last b views before the newest weighs exp(-b / ``row_decay``). The similarity is the cosine
    of the pages, times exp(-t / ``days_decay``) for a session that began t days before; a neighbour's item i votes
    with the factor exp(-d / ``item_decay``), d being how many views it is from the newest page of the row that the
    neighbour holds. Without times in the log the factor by time is left out.

    Parameters
    ----------
    k, sample, row_decay, days_decay, item_decay : λ1, λ2, λ3 of the source, and session-rec's defaults for them

    Notes
    -----
    What depends on the row alone, its length and the time now, changes no order and is left out. A session more than
    600 `days_decay` older than the newest counts as that old. The source takes a session's end where this takes its
    start, for in some logs a session left open for weeks ends after all others.

    Source: Garg, Gupta, Malhotra, Vig, Shroff: Sequence and Time Aware Neighborhood for Session-based Recommendations
    (STAN), SIGIR 2019.
    """

    name = "stan"
    grid: ClassVar = (  # two for news, and what session-rec chose for YooChoose and for RetailRocket
        {"remind": False},
        {"remind": False, "days_decay": 0.5},
        {"k": 1000, "row_decay": 0.5, "days_decay": 20, "item_decay": 0.5},
        {"k": 1000, "row_decay": 1e-5, "days_decay": 10, "item_decay": 2},
        {"k": 1500, "row_decay": 0.905, "days_decay": 100, "item_decay": 0.4525},
    )

    row_decay: float = 1.02
    days_decay: float = 5
    item_decay: float = 2.05

    def page_weight(self, query: RowPages) -> Floats:
        """Return exp(-b / row_decay)."""
        weight: Floats = np.exp((query.position - query.length[query.row]) / self.row_decay)
        return weight

    def session_weight(self, sessions: Sessions, pages: Ints) -> Floats:
        """Return 1 / sqrt(pages), times the decay with the days from a session's start to that of the newest."""
        days = (np.nanmax(sessions.start, initial=-np.inf) - sessions.start) / DAY
        decay = np.exp(-np.minimum(np.nan_to_num(days) / self.days_decay, 600))
        weight: Floats = decay / np.sqrt(np.maximum(1, pages))
        return weight

    def back_weight(self, back: Ints) -> Floats:
        """Return 1: the similarity has the position in it."""
        return np.ones(len(back))

    def distance_weight(self, distance: Ints) -> Floats:
        """Return exp(-distance / item_decay)."""
        weight: Floats = np.exp(-distance / self.item_decay)
        return weight


@dataclass(eq=False)
class Vstan(Stan):
    """VSTAN: `Stan` with the two weights that V-SkNN has and STAN lacks.

    A neighbour whose newest shared page is b views before the row's newest votes with the factor
    exp(-b / ``back_decay``), and the items' sums have the factor by inverse document frequency.

    Parameters
    ----------
    k, sample, row_decay, days_decay, item_decay : as of `Stan`
    back_decay, idf : session-rec's defaults (lambda_ipw, lambda_idf)

    Notes
    -----
    Source: Ludewig, Mauro, Latifi, Jannach: Empirical Analysis of Session-based Recommendation Algorithms, 2021, and
    its code, session-rec.
    """

    name = "vstan"
    grid: ClassVar = (
        {"remind": False},
        {"remind": False, "days_decay": 0.5},
        {"k": 1500, "sample": 10000, "row_decay": 0.5, "item_decay": 2, "back_decay": 2, "idf": 2},
        {"k": 1000, "row_decay": 4, "item_decay": 4, "back_decay": 1e-5, "idf": 1},
        {"k": 200, "row_decay": 1.81, "days_decay": 40, "item_decay": 0.905, "back_decay": 0.905, "idf": 0},
    )

    back_decay: float = 1.02
    idf: float = 5

    def back_weight(self, back: Ints) -> Floats:
        """Return exp(-b / back_decay)."""
        weight: Floats = np.exp((1 - back) / self.back_decay)
        return weight
