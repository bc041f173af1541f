"""The numbers of each experiment, in plain dicts and lists: what report.json holds and the claims are judged by."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from generator.evaluation.metrics import CUTOFF, HEADLINES
from generator.experiment.nets import NetVariant, baselines_of, batch_name, history_name, nets_of
from generator.experiment.plan import ExperimentPlan
from generator.experiment.results import Estimates, Results, column_of, figure

__all__ = ["measure"]

Methods = Mapping[str, NetVariant | str]
Json = dict[str, Any]


def measure(plan: ExperimentPlan, experiment: str, results: Results) -> Json:
    """Return the numbers of one experiment.

    Wherever seconds are given, the key is ``seconds`` or begins with it: they alone differ from run to run.
    """
    methods: Methods = {
        **nets_of(plan, experiment),
        **{name: name for name in baselines_of(plan, experiment)},
    }
    how = {
        "accuracy": _accuracy,
        "als": _als,
        "nets": _nets,
        "top_k": _top_k,
        "history": _history,
        "batch_size": _batch_size,
        "convergence": _convergence,
    }[experiment]
    return {"metric": plan.metric, "seeds": list(plan.seeds), **how(plan, results, methods)}


def _estimates(results: Results, methods: Methods) -> Estimates:
    return results.estimates({name: results.rows(method) for name, method in methods.items()})


def _rows(results: Results, methods: Methods, found: Estimates) -> list[Json]:
    """Return a row of figures for each method."""
    rows = []
    for name, method in methods.items():
        row: Json = {
            "name": name,
            "kind": "baseline" if isinstance(method, str) else "net",
            "metrics": {metric: found.of(name, metric) for metric in HEADLINES},
            "each_seed": [],
        }
        if not isinstance(method, str):
            row["each_seed"] = [
                {"seed": seed, **{metric: figure(each[column_of(metric)]) for metric in HEADLINES}}
                for seed, each in zip(results.seeds, results.each_seed(method), strict=True)
            ]
        row["seconds"] = round(results.seconds(method), 3)
        rows.append(row)
    return rows


def _comparison(results: Results, methods: Methods, found: Estimates, one: str, other: str, metric: str) -> Json:
    """Return how far method ``one`` is ahead of ``other``, over all seeds and by each."""
    column = column_of(metric)
    each = results.each_seed(methods[one])[:, column] - results.each_seed(methods[other])[:, column]
    return {
        "method": one,
        "other": other,
        "difference": found.difference(one, other, metric),
        "each_seed": [figure(value) for value in each],
    }


def _accuracy(plan: ExperimentPlan, results: Results, methods: Methods) -> Json:
    found = _estimates(results, methods)
    subject = plan.variant(plan.experiments.accuracy.subject if plan.experiments.accuracy else None)
    others = [name for name in methods if name != subject]
    return {
        "subject": subject,
        "methods": _rows(results, methods, found),
        "comparisons": [_comparison(results, methods, found, subject, other, plan.metric) for other in others],
    }


def _als(plan: ExperimentPlan, results: Results, methods: Methods) -> Json:
    found = _estimates(results, methods)
    *nets, baseline = methods
    return {
        "baseline": baseline,
        "methods": _rows(results, methods, found),
        "comparisons": [_comparison(results, methods, found, net, baseline, plan.metric) for net in nets],
    }


def _nets(plan: ExperimentPlan, results: Results, methods: Methods) -> Json:
    found = _estimates(results, methods)
    names = list(methods)
    pairs = zip(names[1:], names, strict=False)
    return {
        "methods": _rows(results, methods, found),
        "comparisons": [_comparison(results, methods, found, one, other, plan.metric) for one, other in pairs],
    }


def _top_k(_plan: ExperimentPlan, results: Results, methods: Methods) -> Json:
    found = _estimates(results, methods)
    cutoffs = range(1, CUTOFF + 1)
    rates = {name: [found.of(name, f"HR@{k}") for k in cutoffs] for name in methods}
    return {
        "cutoffs": list(cutoffs),
        "methods": [
            {"name": name, "kind": "baseline" if isinstance(method, str) else "net", "hit_rate": rates[name]}
            for name, method in methods.items()
        ],
        "leaders": [max(methods, key=lambda name: rates[name][k - 1]["value"]) for k in cutoffs],
    }


def _history(plan: ExperimentPlan, results: Results, methods: Methods) -> Json:
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
        windows.append(
            {
                "window": window,
                "off": found.of(off, plan.metric),
                "on": found.of(on, plan.metric),
                "gain": compared["difference"],
                "each_seed": compared["each_seed"],
            }
        )
    return {
        "variant": plan.variant(tried.variant),
        "states": tried.states,
        "methods": _rows(results, methods, found),
        "windows": windows,
        "contrast": {
            "small": small,
            "large": large,
            "difference": found.difference(f"gain {small}", f"gain {large}", plan.metric),
        },
    }


def _batch_size(plan: ExperimentPlan, results: Results, methods: Methods) -> Json:
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
            {
                "batch_size": size,
                "iterations": figure(results.iterations(net)[-1]),
                "epochs": figure(epochs),
                "accuracy": found.of(name, plan.metric),
                "difference": _comparison(results, methods, found, name, first, plan.metric)["difference"],
                "seconds_an_epoch": round(results.seconds(net) / epochs, 4),
            }
        )
    return {
        "variant": plan.variant(tried.variant),
        "tolerance": tried.tolerance,
        "methods": _rows(results, methods, found),
        "sizes": sizes,
    }


def _convergence(plan: ExperimentPlan, results: Results, methods: Methods) -> Json:
    tried = plan.experiments.convergence
    assert tried is not None  # noqa: S101 - as above
    nets = []
    for name, net in methods.items():
        assert isinstance(net, NetVariant)  # noqa: S101 - the experiment has no baselines
        epochs, iterations = results.epochs(net), results.iterations(net)
        found = results.estimates({str(point): results.rows(net, point) for point in range(len(epochs))})
        points = [
            {
                "epochs": figure(epochs[point]),
                "iteration": figure(iterations[point]),
                "accuracy": found.of(str(point), plan.metric),
                "hit_rate": found.of(str(point), f"HR@{CUTOFF}"),
                "seconds": round(results.seconds(net, point), 3),
            }
            for point in range(len(epochs))
        ]
        nets.append(
            {"name": name, "points": points, "loss": _loss(results, net), "reached": _reached(points, tried.share)}
        )
    return {"share": tried.share, "few": tried.few, "nets": nets}


def _loss(results: Results, net: NetVariant) -> list[Json]:
    return [
        {"iteration": figure(iteration), "loss": figure(loss), "seconds": round(float(seconds), 3)}
        for iteration, loss, seconds in results.curve(net)
    ]


def _reached(points: list[Json], share: float) -> Json:
    """Return the first point whose figure is ``share`` of the last one's, and whether that is before the end."""
    wanted = share * points[-1]["accuracy"]["value"]
    place = int(np.argmax([point["accuracy"]["value"] >= wanted for point in points]))
    return {
        "epochs": points[place]["epochs"],
        "value": points[place]["accuracy"]["value"],
        "final": points[-1]["accuracy"]["value"],
        "of_epochs": points[-1]["epochs"],
        "before_the_end": place < len(points) - 1,
    }
