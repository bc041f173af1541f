"""Candidates whose mixture leans on the rule that is ahead of every net: its order first, then its order alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from generator.fitting.choose import PAGES, Candidate
from generator.fitting.compare import figure
from generator.fitting.facts import Facts
from generator.mixture.mixture import Fitted
from generator.mixture.rules import COUNTED, RULES, leaning, ranking_as

__all__ = ["Leaning", "leanings", "rule_ahead"]

SHARE = 0.99  # of all weight, that moves to the part of the mixture that is the rule


@dataclass(frozen=True)
class Leaning:
    """A candidate whose mixture leans on a rule, and the numbers of that mixture."""

    candidate: Candidate
    fitted: Fitted


def rule_ahead(report: Mapping[str, Any], chosen: str) -> str:
    """Return the best of the rules that a mixture can rank as and that are ahead of a method; empty if none is."""
    rules = [each["name"] for each in report["methods"] if each["name"] in RULES]
    best = max(rules, key=lambda name: figure(report, name), default="")
    return best if best and figure(report, best) > figure(report, chosen) else ""


def leanings(base: Candidate, fitted: Fitted, rule: str, facts: Facts) -> Iterator[Leaning]:
    """Yield a candidate that ranks as a rule does and then as the mixture did, and one that ranks as the rule alone.

    Parameters
    ----------
    base, fitted
        What leans, and the numbers of its mixture.
    rule
        One of `generator.mixture.rules.RULES`.
    facts
        Of the log.
    """
    mix = base.spec.head.mix
    assert mix is not None  # noqa: S101  # for mypy: the caller asks for nets with one alone
    pages = max(mix.pages, min(facts.quantile(1.0), PAGES.most))
    for name, changes, numbers, what in (
        ("near", {}, leaning(fitted, rule, SHARE), f"{SHARE:.0%} of its weight is that of {rule}"),
        ("like", COUNTED, ranking_as(rule, mix.newest), f"it ranks as {rule} does"),
    ):
        head = base.spec.head.model_copy(update={"mix": mix.model_copy(update={"pages": pages, **changes})})
        reasons = {**base.reasons, "head.mix": f"{what}, which was ahead of every net on the validation part"}
        spec = base.spec.model_copy(update={"head": head})
        yield Leaning(Candidate(f"{name}-{rule}", spec, reasons), numbers)
