"""The sentences, on numbers made by hand."""

from dataclasses import fields

import pytest

from generator.evaluation.metrics import Interval
from generator.experiment import measures
from generator.experiment.claims import claims_of, interval, number, verdict

FIGURES = {
    "accuracy": measures.AccuracyFigures,
    "als": measures.FactorisationFigures,
    "nets": measures.NetsFigures,
    "top_k": measures.TopKFigures,
    "history": measures.HistoryFigures,
    "batch_size": measures.BatchSizeFigures,
    "convergence": measures.ConvergenceFigures,
}


def filled(kind, **given):
    """Return a ``kind`` of figures with what is given; claims do not look at the rest."""
    return kind(**{field.name: given.get(field.name) for field in fields(kind)})


def figure(value, low, high):
    return Interval(value, low, high)


def compared(method, other, *difference):
    return measures.Comparison(method, other, figure(*difference), [])


def said(experiment, **found):
    """Return verdict and sentence of each claim."""
    claims = claims_of(experiment, filled(FIGURES[experiment], **{"metric": "MRR@20", "seeds": [1, 2, 3], **found}))
    return [(claim.verdict, claim.sentence) for claim in claims]


@pytest.mark.parametrize(
    ("value", "plain", "signed"),
    [(0.012, ".012", "+.012"), (-0.0304, "-.030", "-.030"), (0, ".000", "+.000"), (-0.0001, ".000", "+.000"),
     (1.0, "1.000", "+1.000"), (0.9996, "1.000", "+1.000"), (-1.25, "-1.250", "-1.250")],
)  # fmt: skip
def test_numbers_are_written_as_papers_do(value, plain, signed):
    assert (number(value), number(value, sign=True)) == (plain, signed)


def test_a_figure_and_its_interval():
    assert interval(figure(0.012, 0.004, 0.020)) == "+.012 [.004, .020]"
    assert interval(figure(0.5, -0.1, 1), sign=False) == ".500 [-.100, 1.000]"


@pytest.mark.parametrize(
    ("low", "high", "above", "expected"),
    [(0.004, 0.02, 0, "held"), (-0.02, -0.004, 0, "did not hold"), (-0.001, 0.02, 0, "undecided"),
     (0, 0.1, 0, "undecided"), (-0.1, 0, 0, "undecided"), (-0.009, 0.001, -0.01, "held"),
     (-0.02, 0.001, -0.01, "undecided"), (-0.02, -0.011, -0.01, "did not hold")],
)  # fmt: skip
def test_a_verdict_is_by_the_interval(low, high, above, expected):
    assert verdict(figure(0, low, high), above) == expected


def test_one_net_beats_another_or_not():
    found = [compared("combined", "rnn", 0.012, 0.004, 0.020)]
    assert said("nets", comparisons=found) == [
        ("held", "combined beats rnn: MRR@20 +.012 [.004, .020] over 3 seeds: held")
    ]
    found = [compared("combined", "rnn", -0.012, -0.020, -0.004)]
    assert said("nets", comparisons=found, seeds=[7]) == [
        ("did not hold", "combined is behind rnn: MRR@20 -.012 [-.020, -.004] with one seed: did not hold")
    ]
    found = [compared("rnn", "fnn", 0.2, 0.1, 0.3), compared("combined", "rnn", 0.001, -0.004, 0.006)]
    assert said("nets", comparisons=found) == [
        ("undecided", "rnn beats fnn (MRR@20 +.200 [.100, .300]) and combined is not told apart from rnn "
                      "(MRR@20 +.001 [-.004, .006]), over 3 seeds: undecided")
    ]  # fmt: skip


def test_als_behind_every_net():
    found = [compared(net, "als", 0.1, 0.05, 0.15) for net in ("fnn", "rnn", "combined")]
    ((outcome, sentence),) = said("als", comparisons=found)
    assert outcome == "held"
    assert sentence == (
        "fnn beats als (MRR@20 +.100 [.050, .150]), rnn beats als (MRR@20 +.100 [.050, .150]) and combined beats als "
        "(MRR@20 +.100 [.050, .150]), over 3 seeds: held"
    )
    found[1] = compared("rnn", "als", -0.1, -0.15, -0.05)
    assert said("als", comparisons=found)[0][0] == "did not hold"


def test_the_subject_among_all_methods():
    found = [compared("rnn", "als", 0.3, 0.2, 0.4), compared("rnn", "recency", 0.01, 0.005, 0.015)]
    assert said("accuracy", subject="rnn", comparisons=found) == [
        ("held", "rnn is ahead of all 2 other methods, the nearest recency: MRR@20 +.010 [.005, .015] "
                 "over 3 seeds: held")
    ]  # fmt: skip
    found += [compared("rnn", "rules", -0.05, -0.06, -0.04), compared("rnn", "fnn", 0.001, -0.01, 0.012)]
    assert said("accuracy", subject="rnn", comparisons=found) == [
        ("did not hold", "rnn is behind rules (-.050 [-.060, -.040]), is not told apart from fnn (+.001 [-.010, .012]) "
                         "and is ahead of recency (+.010 [.005, .015]) and als (+.300 [.200, .400]) in MRR@20, "
                         "over 3 seeds: did not hold")
    ]  # fmt: skip
    assert said("accuracy", subject="rnn", comparisons=[]) == []


def rates(name, kind, *values):
    return measures.RateFigures(name, kind, [figure(value, value, value) for value in values])


def test_the_hit_rate_over_k():
    methods = [rates("rnn", "net", 0.3, 0.4, 0.5, 0.6), rates("recency", "baseline", 0.1, 0.35, 0.6, 0.9)]
    found = {"cutoffs": [1, 2, 3, 4], "methods": methods, "leaders": ["rnn", "rnn", "recency", "recency"]}
    assert said("top_k", **found) == [
        ("held", "the hit rate of rnn, the best net at K = 4, goes from .300 at K = 1 over .400 at 2 to .600 at 4; "
                 "highest is rnn up to K = 2, then recency, over 3 seeds: held")
    ]  # fmt: skip
    methods[1] = rates("recency", "baseline", 0.2, 0.2, 0.2, 0.2)
    ((outcome, sentence),) = said("top_k", **{**found, "leaders": ["rnn"] * 4})
    assert outcome == "did not hold"
    assert "; highest is rnn at every K, over 3 seeds" in sentence


@pytest.mark.parametrize(
    ("small", "contrast", "outcome"),
    [((0.05, 0.04, 0.06), (0.04, 0.03, 0.05), "held"), ((0.05, 0.04, 0.06), (0.001, -0.01, 0.02), "undecided"),
     ((-0.05, -0.06, -0.04), (-0.04, -0.05, -0.03), "did not hold")],
)  # fmt: skip
def test_the_history_state_by_window(small, contrast, outcome):
    gains = {1: figure(*small), 8: figure(0.01, 0.005, 0.015)}
    windows = [filled(measures.WindowFigures, window=window, gain=gain) for window, gain in gains.items()]
    ((found, sentence),) = said("history", windows=windows, contrast=measures.Contrast(1, 8, figure(*contrast)))
    assert found == outcome
    assert sentence == (
        f"with the history state MRR@20 changes by {interval(figure(*small))} at window 1 and by +.010 [.005, .015] at "
        f"window 8, a difference of {interval(figure(*contrast))}, over 3 seeds: {outcome}"
    )


@pytest.mark.parametrize(
    ("difference", "outcome"),
    [((-0.004, -0.009, 0.001), "held"), ((-0.02, -0.03, -0.011), "did not hold"), ((-0.01, -0.02, 0), "undecided")],
)
def test_a_larger_batch(difference, outcome):
    sizes = [
        filled(measures.SizeFigures, batch_size=16, difference=figure(0, 0, 0), seconds_an_epoch=3.5),
        filled(measures.SizeFigures, batch_size=256, difference=figure(*difference), seconds_an_epoch=0.7),
    ]
    found = filled(measures.BatchSizeFigures, metric="HR@20", seeds=[1], sizes=sizes, tolerance=0.01)
    accuracy, speed = claims_of("batch_size", found)
    assert (accuracy.verdict, accuracy.timed) == (outcome, False)
    assert accuracy.sentence == (
        f"batches of 256 instead of 16 at the same number of sessions: HR@20 {interval(figure(*difference))} with one "
        f"seed (little: above -.010): {outcome}"
    )
    assert (speed.verdict, speed.timed) == ("held", True)
    assert speed.sentence == (
        "an epoch takes 0.70 s in batches of 256 and 3.50 s in batches of 16, 5.0 times as fast: held"
    )


@pytest.mark.parametrize(
    ("epochs", "before", "outcome"), [(2, True, "held"), (7, True, "did not hold"), (2, False, "did not hold")]
)
def test_convergence_within_a_few_epochs(epochs, before, outcome):
    reached = measures.Reached(epochs=epochs, value=0.51, final=0.53, of_epochs=9.18, before_the_end=before)
    nets = [filled(measures.Course, name="rnn", reached=reached)]
    assert said("convergence", share=0.95, few=5.0, nets=nets) == [
        (outcome, f"95 % of the final MRR@20 is reached by rnn after {epochs} of 9.18 epochs (.510 of .530), "
                  f"over 3 seeds (few: at most 5, and before the end): {outcome}")
    ]  # fmt: skip
