"""The paper's claims, and for each one plain sentence that says whether it held here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from generator.evaluation.metrics import Interval
from generator.experiment.measures import (
    AccuracyFigures,
    BatchSizeFigures,
    Comparison,
    ConvergenceFigures,
    FactorisationFigures,
    Figures,
    HistoryFigures,
    NetsFigures,
    TopKFigures,
)

__all__ = ["PAPER", "Claim", "claims_of", "interval", "number", "verdict"]

Verdict = Literal["held", "did not hold", "undecided"]

# What the paper says, by experiment.
PAPER = {
    "accuracy": "The deep recurrent net recommends better than the methods it is compared with.",
    "als": "Every deep net beats matrix factorisation (ALS).",
    "nets": "The recurrent net beats the feed-forward net, and both together beat either.",
    "top_k": "The hit rate grows with the number of items recommended, K.",
    "history": "The history state helps, and most where the window is small.",
    "batch_size": "A larger batch makes an epoch faster at little loss of accuracy.",
    "convergence": "Training converges within a few epochs.",
}


@dataclass(frozen=True)
class Claim:
    """A claim and what became of it.

    Attributes
    ----------
    paper
        What the paper says.
    experiment
        By name.
    verdict
        ``held`` or ``did not hold`` where the 95 % interval tells, else ``undecided``.
    sentence
        The figures and the verdict.
    timed
        Whether the sentence has seconds in it, which differ from run to run.
    """

    paper: str
    experiment: str
    verdict: Verdict
    sentence: str
    timed: bool = False


def verdict(difference: Interval, above: float = 0.0) -> Verdict:
    """Say whether a difference is above a bound: by its interval, ends of which on the bound do not decide."""
    if difference.low > above:
        return "held"
    return "did not hold" if difference.high < above else "undecided"


def claims_of(experiment: str, found: Figures) -> list[Claim]:
    """Return the claims of an experiment, judged by its numbers as `measure` gives them."""
    return _CLAIMS[experiment](found)


def _all(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the verdict on several things together."""
    if "did not hold" in verdicts:
        return "did not hold"
    return "undecided" if "undecided" in verdicts else "held"


def _claim(experiment: str, outcome: Verdict, text: str, timed: bool = False) -> Claim:
    return Claim(PAPER[experiment], experiment, outcome, f"{text}: {outcome}", timed)


def _seeds(found: Figures) -> str:
    count = len(found.seeds)
    return f"over {count} seeds" if count > 1 else "with one seed"


def number(value: float, sign: bool = False) -> str:
    """Return a share to three digits as papers write it: .012, +.012."""
    rounded = round(value, 3) + 0.0  # adding 0 makes -0.0 the 0.0 that it equals
    text = f"{rounded:+.3f}" if sign else f"{rounded:.3f}"
    return text.replace("0.", ".", 1) if abs(rounded) < 1 else text


def interval(figure: Interval, sign: bool = True) -> str:
    """Return a figure with its interval: +.012 [.004, .020]."""
    return f"{number(figure.value, sign)} [{number(figure.low)}, {number(figure.high)}]"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _compared(comparison: Comparison, metric: str) -> str:
    """Say which of two methods is ahead."""
    words = {"held": "beats", "did not hold": "is behind", "undecided": "is not told apart from"}
    outcome = verdict(comparison.difference)
    return f"{comparison.method} {words[outcome]} {comparison.other} ({metric} {interval(comparison.difference)})"


def _beats(experiment: str, found: FactorisationFigures | NetsFigures) -> list[Claim]:
    """Judge a list of comparisons, each of which should be above 0."""
    compared = found.comparisons
    outcome = _all([verdict(each.difference) for each in compared])
    if len(compared) == 1:
        one = compared[0]
        words = {"held": "beats", "did not hold": "is behind", "undecided": "is not told apart from"}[outcome]
        text = f"{one.method} {words} {one.other}: {found.metric} {interval(one.difference)}"
        return [_claim(experiment, outcome, f"{text} {_seeds(found)}")]
    text = _listed([_compared(each, found.metric) for each in compared])
    return [_claim(experiment, outcome, f"{text}, {_seeds(found)}")]


def _accuracy(found: AccuracyFigures) -> list[Claim]:
    compared = sorted(found.comparisons, key=lambda each: each.difference.value)
    if not compared:
        return []
    subject, metric = found.subject, found.metric
    outcome = _all([verdict(each.difference) for each in compared])
    if outcome == "held":
        near = compared[0]
        rest = f" all {len(compared)} other methods, the nearest" if len(compared) > 1 else ""
        text = f"{subject} is ahead of{rest} {near.other}: {metric} {interval(near.difference)} {_seeds(found)}"
        return [_claim("accuracy", outcome, text)]
    groups = {"did not hold": "is behind", "undecided": "is not told apart from", "held": "is ahead of"}
    parts = []
    for kind, words in groups.items():
        names = [f"{each.other} ({interval(each.difference)})" for each in compared if verdict(each.difference) == kind]
        if names:
            parts.append(f"{words} {_listed(names)}")
    return [_claim("accuracy", outcome, f"{subject} {_listed(parts)} in {metric}, {_seeds(found)}")]


def _top_k(found: TopKFigures) -> list[Claim]:
    nets = [each for each in found.methods if each.kind == "net"] or found.methods
    best = max(nets, key=lambda each: each.hit_rate[-1].value)
    rates = [each.value for each in best.hit_rate]
    cutoffs, leaders = found.cutoffs, found.leaders
    grows = all(each.hit_rate[-1].value > each.hit_rate[0].value for each in found.methods)
    middle = len(cutoffs) // 2 - 1
    text = (
        f"the hit rate of {best.name}, the best net at K = {cutoffs[-1]}, goes from {number(rates[0])} at "
        f"K = {cutoffs[0]} over {number(rates[middle])} at {cutoffs[middle]} to {number(rates[-1])} at {cutoffs[-1]}"
    )
    if len(found.methods) > 1:
        text += f"; highest is {_spans(cutoffs, leaders)}"
    return [_claim("top_k", "held" if grows else "did not hold", f"{text}, {_seeds(found)}")]


def _spans(cutoffs: Sequence[int], leaders: Sequence[str]) -> str:
    """Say who leads where: rnn up to K = 3, then recency."""
    spans: list[tuple[str, int]] = []
    for cutoff, leader in zip(cutoffs, leaders, strict=True):
        if spans and spans[-1][0] == leader:
            spans[-1] = (leader, cutoff)
        else:
            spans.append((leader, cutoff))
    if len(spans) == 1:
        return f"{spans[0][0]} at every K"
    return ", ".join(f"{leader} up to K = {cutoff}" for leader, cutoff in spans[:-1]) + f", then {spans[-1][0]}"


def _history(found: HistoryFigures) -> list[Claim]:
    contrast, metric = found.contrast, found.metric
    gains = {each.window: each.gain for each in found.windows}
    small, large = gains[contrast.small], gains[contrast.large]
    outcome = _all([verdict(small), verdict(contrast.difference)])
    text = (
        f"with the history state {metric} changes by {interval(small)} at window {contrast.small} and by "
        f"{interval(large)} at window {contrast.large}, a difference of {interval(contrast.difference)}"
    )
    return [_claim("history", outcome, f"{text}, {_seeds(found)}")]


def _batch_size(found: BatchSizeFigures) -> list[Claim]:
    first, last = found.sizes[0], found.sizes[-1]
    small, large = first.batch_size, last.batch_size
    outcome = verdict(last.difference, -found.tolerance)
    text = (
        f"batches of {large} instead of {small} at the same number of sessions: {found.metric} "
        f"{interval(last.difference)} {_seeds(found)} (little: above {number(-found.tolerance)})"
    )
    ratio = first.seconds_an_epoch / last.seconds_an_epoch if last.seconds_an_epoch else float("inf")
    speed = (
        f"an epoch takes {last.seconds_an_epoch:.2f} s in batches of {large} and {first.seconds_an_epoch:.2f} s "
        f"in batches of {small}, {ratio:.1f} times as fast"
    )
    return [
        _claim("batch_size", outcome, text),
        _claim("batch_size", "held" if ratio > 1 else "did not hold", speed, timed=True),
    ]


def _convergence(found: ConvergenceFigures) -> list[Claim]:
    few, parts, outcomes = found.few, [], []
    for net in found.nets:
        reached = net.reached
        good = reached.before_the_end and reached.epochs <= few
        outcomes.append(good)
        parts.append(
            f"{net.name} after {reached.epochs:.3g} of {reached.of_epochs:.3g} epochs "
            f"({number(reached.value)} of {number(reached.final)})"
        )
    text = f"{100 * found.share:g} % of the final {found.metric} is reached by {_listed(parts)}, {_seeds(found)}"
    outcome: Verdict = "held" if all(outcomes) else "did not hold"
    return [_claim("convergence", outcome, f"{text} (few: at most {few:g}, and before the end)")]


# Each takes the figures of its experiment.
_CLAIMS: dict[str, Callable[[Any], list[Claim]]] = {
    "accuracy": _accuracy,
    "als": lambda found: _beats("als", found),
    "nets": lambda found: _beats("nets", found),
    "top_k": _top_k,
    "history": _history,
    "batch_size": _batch_size,
    "convergence": _convergence,
}
