"""What a fit came to, and in words how its net stands beside the rules."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generator.fitting import compare
from generator.fitting.draft import Draft
from generator.fitting.select import Selected
from generator.mixture.rules import RULES
from generator.spec.schema import Spec

__all__ = ["Fit"]

FEW = 100  # test sessions, below which figures tell little
LEVEL = 0.0005  # of METRIC, from which on a rule is ahead: what rounds to less is level


@dataclass(frozen=True)
class Fit:
    """What a fit came to.

    Attributes
    ----------
    folder
        A run: spec.yaml, data/, models/, report.html, ...
    draft
        What was understood of the log, and the nets that were tried.
    spec
        That of the net that was trained.
    selected
        Which candidate it is, and how all of them and the rules did on the validation part.
    test
        A report of `drn evaluate`, as JSON has it, of the net and all rules on the test part.
    """

    folder: Path
    draft: Draft
    spec: Spec
    selected: Selected
    test: dict[str, Any]

    def figure(self, method: str, metric: str = compare.METRIC) -> float:
        """Return a figure of a method on the test part."""
        return compare.figure(self.test, method, metric)

    def verdict(self) -> str:
        """Return in a sentence how the net stands beside the best rule of the test part."""
        rivals = [each["name"] for each in self.test["methods"] if each["kind"] == "baseline"]
        best = max(rivals, key=self.figure)
        gap = next(
            each["metrics"][compare.METRIC]
            for each in self.test["differences"]
            if (each["method"], each["other"]) == (self.spec.name, best)
        )
        stands = "ahead of" if gap["low"] > 0 else "behind" if gap["high"] < 0 else "level with"
        few = f"; {self.test['sessions']:,} test sessions tell little" if self.test["sessions"] < FEW else ""
        return (
            f"{self.spec.name} is {stands} {best}, the best rule on the test part: {compare.METRIC} "
            f"{self.figure(self.spec.name):.3f} against {self.figure(best):.3f}, "
            f"{gap['value']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}]{few}"
        )

    def behind(self) -> str:
        """Return in a sentence what the rules have to do with the net on the validation part; empty if it is ahead."""
        report, chosen = self.selected.report, self.selected.candidate.name
        own, rule = compare.figure(report, chosen), self.selected.rule
        if (gap := compare.figure(report, rule) - own) >= LEVEL:
            why = "" if rule in RULES else ", and no mixture ranks as it does"
            return (
                f"on the validation part {rule} is ahead of the net by {gap:.3f} {compare.METRIC}{why}: try --tune "
                "or more minutes"
            )
        if leans_on := self.selected.leans_on:
            return (
                f"on the validation part {leans_on} was ahead of every net, so the mixture leans on it: "
                f"{compare.METRIC} {own:.3f} against {compare.figure(report, leans_on):.3f}"
            )
        if chosen == "mixture":
            return "no net that was tried did better than the mixture alone, which leans on the rules"
        return ""
