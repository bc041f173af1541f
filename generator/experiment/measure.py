"""The figures of each experiment, worked out of its records: what report.json holds and the claims are judged by."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from generator.evaluation.metrics import CUTOFF, HEADLINES
from generator.experiment.measures import (
    AccuracyFigures,
    BatchSizeFigures,
    Comparison,
    Contrast,
    ConvergenceFigures,
    Course,
    FactorisationFigures,
    Figures,
    HistoryFigures,
    Kind,
    LossLine,
    MethodFigures,
    NetsFigures,
    Point,
    RateFigures,
    Reached,
    SizeFigures,
    TopKFigures,
    WindowFigures,
)
from generator.experiment.nets import NetVariant, baselines_of, batch_name, history_name, nets_of
from generator.experiment.plan import ExperimentPlan
from generator.experiment.results import Estimates, Results, column_of, figure

__all__ = ["measure"]

Methods = Mapping[str, NetVariant | str]


def measure(plan: ExperimentPlan, experiment: str, results: Results) -> Figures:
    """Return the figures of one experiment."""
    methods: Methods = {
        **nets_of(plan, experiment),
        **{name: name for name in baselines_of(plan, experiment)},
    }
    return _EXPERIMENTS[experiment](plan, results, methods)


def _estimates(results: Results, methods: Methods) -> Estimates:
    return results.estimates({name: results.rows(method) for name, method in methods.items()})


def _kind(method: NetVariant | str) -> Kind:
    return "baseline" if isinstance(method, str) else "net"


def _rows(results: Results, methods: Methods, found: Estimates) -> list[MethodFigures]:
    """Return the figures of each method."""
    return [
        MethodFigures(
            name,
            _kind(method),
            {metric: found.of(name, metric) for metric in HEADLINES},
            [] if isinstance(method, str) else _by_seed(results, method),
            round(results.seconds(method), 3),
        )
        for name, method in methods.items()
    ]


def _by_seed(results: Results, net: NetVariant) -> list[dict[str, float]]:
    return [
        {"seed": seed, **{metric: figure(each[column_of(metric)]) for metric in HEADLINES}}
        for seed, each in zip(results.seeds, results.each_seed(net), strict=True)
    ]


def _comparison(results: Results, methods: Methods, found: Estimates, one: str, other: str, metric: str) -> Comparison:
    """Return how far method ``one`` is ahead of ``other``, over all seeds and by each."""
    column = column_of(metric)
    each = results.each_seed(methods[one])[:, column] - results.each_seed(methods[other])[:, column]
    return Comparison(one, other, found.difference(one, other, metric), [figure(value) for value in each])


def _accuracy(plan: ExperimentPlan, results: Results, methods: Methods) -> AccuracyFigures:
    found = _estimates(results, methods)
    subject = plan.variant(plan.experiments.accuracy.subject if plan.experiments.accuracy else None)
    others = [name for name in methods if name != subject]
    return AccuracyFigures(
        plan.metric,
        plan.seeds,
        subject,
        _rows(results, methods, found),
        [_comparison(results, methods, found, subject, other, plan.metric) for other in others],
    )


def _als(plan: ExperimentPlan, results: Results, methods: Methods) -> FactorisationFigures:
    found = _estimates(results, methods)
    *nets, baseline = methods
    return FactorisationFigures(
        plan.metric,
        plan.seeds,
        baseline,
        _rows(results, methods, found),
        [_comparison(results, methods, found, net, baseline, plan.metric) for net in nets],
    )


def _nets(plan: ExperimentPlan, results: Results, methods: Methods) -> NetsFigures:
    found = _estimates(results, methods)
    names = list(methods)
    pairs = zip(names[1:], names, strict=False)
    return NetsFigures(
        plan.metric,
        plan.seeds,
        _rows(results, methods, found),
        [_comparison(results, methods, found, one, other, plan.metric) for one, other in pairs],
    )


def _top_k(plan: ExperimentPlan, results: Results, methods: Methods) -> TopKFigures:
    found = _estimates(results, methods)
    cutoffs = range(1, CUTOFF + 1)
    rates = {name: [found.of(name, f"HR@{k}") for k in cutoffs] for name in methods}
    return TopKFigures(
        plan.metric,
        plan.seeds,
        list(cutoffs),
        [RateFigures(name, _kind(method), rates[name]) for name, method in methods.items()],
        [max(methods, key=lambda name: rates[name][k - 1].value) for k in cutoffs],
    )


def _history(plan: ExperimentPlan, results: Results, methods: Methods) -> HistoryFigures:
    tried = plan.experiments.history
    assert tried is not None  # noqa: S101 - `measure` is asked for experiments of the plan
    rows = {name: results.rows(method) for name, method in methods.items()}
    pairs = {window: (history_name(window, tried.states), history_name(window, 0)) for window in tried.windows}
    gains = {f"gain {window}": rows[on] - rows[off] for window, (on, off) in pairs.items()}
    found = results.estimates({**rows, **gains})
    small, large = tried.windows[0], tried.windows[-1]
    windows = []
    for window, (on, off) in pairs.items():
        compared = _comparison(results, methods, found, on, off, plan.metric)
        figures = found.of(off, plan.metric), found.of(on, plan.metric)
        windows.append(WindowFigures(window, *figures, compared.difference, compared.each_seed))
    return HistoryFigures(
        plan.metric,
        plan.seeds,
        plan.variant(tried.variant),
        tried.states,
        _rows(results, methods, found),
        windows,
        Contrast(small, large, found.difference(f"gain {small}", f"gain {large}", plan.metric)),
    )


def _batch_size(plan: ExperimentPlan, results: Results, methods: Methods) -> BatchSizeFigures:
    tried = plan.experiments.batch_size
    assert tried is not None  # noqa: S101 - as above
    found = _estimates(results, methods)
    first = batch_name(tried.values[0])
    sizes = []
    for size in tried.values:
        name = batch_name(size)
        net = methods[name]
        assert isinstance(net, NetVariant)  # noqa: S101 - the experiment has no baselines
        epochs = float(results.epochs(net)[-1])
        sizes.append(
            SizeFigures(
                batch_size=size,
                iterations=figure(results.iterations(net)[-1]),
                epochs=figure(epochs),
                accuracy=found.of(name, plan.metric),
                difference=_comparison(results, methods, found, name, first, plan.metric).difference,
                seconds_an_epoch=round(results.seconds(net) / epochs, 4),
            )
        )
    rows = _rows(results, methods, found)
    return BatchSizeFigures(plan.metric, plan.seeds, plan.variant(tried.variant), tried.tolerance, rows, sizes)


def _convergence(plan: ExperimentPlan, results: Results, methods: Methods) -> ConvergenceFigures:
    tried = plan.experiments.convergence
    assert tried is not None  # noqa: S101 - as above
    nets = []
    for name, net in methods.items():
        assert isinstance(net, NetVariant)  # noqa: S101 - the experiment has no baselines
        epochs, iterations = results.epochs(net), results.iterations(net)
        found = results.estimates({str(point): results.rows(net, point) for point in range(len(epochs))})
        points = [
            Point(
                epochs=figure(epochs[point]),
                iteration=figure(iterations[point]),
                accuracy=found.of(str(point), plan.metric),
                hit_rate=found.of(str(point), f"HR@{CUTOFF}"),
                seconds=round(results.seconds(net, point), 3),
            )
            for point in range(len(epochs))
        ]
        nets.append(Course(name, points, _loss(results, net), _reached(points, tried.share)))
    return ConvergenceFigures(plan.metric, plan.seeds, tried.share, tried.few, nets)


def _loss(results: Results, net: NetVariant) -> list[LossLine]:
    return [
        LossLine(figure(iteration), figure(loss), round(float(seconds), 3))
        for iteration, loss, seconds in results.curve(net)
    ]


def _reached(points: Sequence[Point], share: float) -> Reached:
    """Return the first point whose figure is ``share`` of the last one's, and whether that is before the end."""
    last = points[-1]
    place = int(np.argmax([point.accuracy.value >= share * last.accuracy.value for point in points]))
    there = points[place]
    return Reached(there.epochs, there.accuracy.value, last.accuracy.value, last.epochs, place < len(points) - 1)


_EXPERIMENTS: dict[str, Callable[[ExperimentPlan, Results, Methods], Figures]] = {
    "accuracy": _accuracy,
    "als": _als,
    "nets": _nets,
    "top_k": _top_k,
    "history": _history,
    "batch_size": _batch_size,
    "convergence": _convergence,
}
