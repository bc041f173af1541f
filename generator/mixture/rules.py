"""The numbers with which a mixture ranks as a rule does, so that a net can lean on the rule or give way to it."""

from dataclasses import dataclass, replace

import numpy as np

from generator.mixture.mixture import Fitted
from generator.mixture.seen import FEATURES
from generator.mixture.weights import BUCKETS

__all__ = ["COUNTED", "RULES", "leaning", "ranking_as"]

# Fields of head.mix with which the tables count as `generator.evaluation.sequential` and `baseline` do.
COUNTED = {"aging": None, "trend": None, "decay": 1.0, "viewed": 0.05}

# Beside 1 of the part that is the rule: what is popular follows, and the net orders what is left.
POPULAR, NET = 1e-6, 1e-12


@dataclass(frozen=True)
class _Rule:
    """The part of the mixture that a rule is, by its place among the weights, and coefficients of the items seen."""

    part: int
    coefficient: tuple[float, ...] = (0.0,) * len(FEATURES)


NEXT, MOST_POPULAR, SEEN = 1, -2, -1
# By the names of `generator.evaluation.baselines`. The lesser coefficient orders what the greater leaves equal.
RULES = {
    "popularity": _Rule(MOST_POPULAR),
    "last-view": _Rule(SEEN, (0, 0, 0, 0, 30)),
    "recency": _Rule(SEEN, (0, -1, 0, 0, 0)),
    "frequency": _Rule(SEEN, (2, -0.01, 0, 0, 0)),
    "dwell-frequency": _Rule(SEEN, (0, -1e-4, 1, 0, 0)),
    "rules": _Rule(NEXT),
}


def ranking_as(rule: str, newest: int) -> Fitted:
    """Return the numbers of a mixture that ranks as a rule does, where it counts as COUNTED says.

    A page further back than it reads is none, and of the popular items it knows those that it keeps.

    Parameters
    ----------
    rule
        One of RULES.
    newest
        Pages whose followers count, m.

    Examples
    --------
    >>> ranking_as("recency", 1).weight[0].tolist()
    [1e-12, 0.0, 1e-06, 1.0]
    """
    found = RULES[rule]
    weight = np.zeros((len(BUCKETS), 3 + newest))
    weight[:, 0], weight[:, MOST_POPULAR] = NET, POPULAR
    weight[:, found.part] = 1
    return Fitted(np.array(found.coefficient, np.float64), 1.0, 0.0, weight)


def leaning(fitted: Fitted, rule: str, share: float) -> Fitted:
    """Return ``fitted`` with this ``share`` of all weight moved to the part that ranks as a rule does."""
    own = ranking_as(rule, fitted.newest)
    return replace(
        fitted,
        coefficient=own.coefficient if own.coefficient.any() else fitted.coefficient,
        weight=(1 - share) * fitted.weight + share * own.weight,
    )
