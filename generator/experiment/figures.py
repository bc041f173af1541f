"""A figure for each experiment, as a PNG."""

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from generator.errors import DrnError, lacking
from generator.evaluation.metrics import Interval
from generator.evaluation.plot import COLOURS, MARKERS
from generator.experiment.measures import (
    AccuracyFigures,
    BatchSizeFigures,
    ConvergenceFigures,
    FactorisationFigures,
    Figures,
    HistoryFigures,
    NetsFigures,
    TopKFigures,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

Compared = AccuracyFigures | FactorisationFigures | NetsFigures
DPI = 110
WIDTH = 9.0  # inches
GREY = "#7b8794"


def draw(experiment: str, found: Figures) -> bytes:
    """Return the figure of an experiment, drawn from the figures that `measure` gives.

    Raises
    ------
    DrnError
        matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise DrnError(lacking("matplotlib", "the report")) from error
    mpl.use("Agg")
    figure = _FIGURES[experiment](found)
    stream = io.BytesIO()
    # The version of matplotlib is left out of the file: the same numbers give the same bytes for longer.
    figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    return stream.getvalue()


def _figure(height: float, columns: int = 1, rows: int = 1, **options: Any) -> "tuple[Figure, list[Axes]]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, **options)
    axes = list(grid.ravel())
    for one in axes:
        one.grid(alpha=0.3)
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def _marker(index: int) -> str:
    return MARKERS[index % len(MARKERS)]


def _errors(figures: Sequence[Interval]) -> list[list[float]]:
    """Return how far the intervals reach down and up, as matplotlib wants them."""
    down = [max(each.value - each.low, 0) for each in figures]
    return [down, [max(each.high - each.value, 0) for each in figures]]


def _line(
    axes: "Axes", x: Sequence[float], figures: Sequence[Interval], index: int, label: str, dashed: bool = False
) -> None:
    """Draw a line with its interval shaded."""
    colour = _colour(index)
    axes.fill_between(x, [f.low for f in figures], [f.high for f in figures], color=colour, alpha=0.15, lw=0)
    axes.plot(
        x,
        [f.value for f in figures],
        color=colour,
        linestyle="--" if dashed else "-",
        marker=_marker(index),
        markersize=4,
        linewidth=1.3 if dashed else 2,
        label=label,
    )


def _methods(axes: "Axes", found: Compared) -> None:
    """Draw a bar a method, with its interval and a dot for each seed."""
    methods, metric = found.methods, found.metric
    places = range(len(methods))
    figures = [each.metrics[metric] for each in methods]
    axes.barh(
        places,
        [each.value for each in figures],
        xerr=_errors(figures),
        color=[_colour(0) if each.kind == "net" else "#b0c4d6" for each in methods],
        error_kw={"ecolor": "#1f2933", "elinewidth": 1.2, "capsize": 3},
        height=0.6,
    )
    for place, each in enumerate(methods):
        seeds = [one[metric] for one in each.each_seed]
        axes.plot(seeds, [place] * len(seeds), "o", color=_colour(1), markersize=4, zorder=3)
    axes.set_yticks(list(places), [each.name for each in methods])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel(f"{metric}, 95 % interval, a dot a seed")
    axes.grid(visible=False, axis="y")


def _differences(axes: "Axes", found: Compared) -> None:
    """Draw the difference of each comparison with its interval and a dot for each seed."""
    compared = found.comparisons
    places = list(range(len(compared)))
    figures = [each.difference for each in compared]
    axes.axvline(0, color=GREY, linewidth=1)
    axes.errorbar([each.value for each in figures], places, xerr=_errors(figures), fmt="s", color=_colour(0), capsize=3)
    for place, each in zip(places, compared, strict=True):
        axes.plot(each.each_seed, [place + 0.22] * len(each.each_seed), "o", color=_colour(1), markersize=4)
    axes.set_yticks(places, [f"{each.method} − {each.other}" for each in compared])  # noqa: RUF001 - a minus
    axes.set_ylim(len(places) - 0.4, -0.6)
    axes.set_xlabel(f"difference in {found.metric}, a dot a seed")
    axes.grid(visible=False, axis="y")


def _comparison(found: Compared) -> "Figure":
    height = 1.4 + 0.38 * max(len(found.methods), len(found.comparisons))
    figure, axes = _figure(height, columns=2)
    _methods(axes[0], found)
    _differences(axes[1], found)
    return figure


def _top_k(found: TopKFigures) -> "Figure":
    figure, (axes,) = _figure(4.6)
    ordered = sorted(found.methods, key=lambda each: -each.hit_rate[-1].value)
    for index, each in enumerate(ordered):
        label = f"{each.name}  {each.hit_rate[-1].value:.3f}"
        _line(axes, found.cutoffs, each.hit_rate, index, label, dashed=each.kind != "net")
    axes.set_xlabel("K, items recommended")
    axes.set_ylabel("hit rate @K, 95 % interval")
    axes.set_xticks(found.cutoffs)
    axes.set_ylim(bottom=0)
    axes.legend(title=f"hit rate @{found.cutoffs[-1]}", loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def _history(found: HistoryFigures) -> "Figure":
    figure, (left, right) = _figure(3.8, columns=2)
    windows = [each.window for each in found.windows]
    places = list(range(len(windows)))
    _line(left, places, [each.on for each in found.windows], 0, f"history of {found.states}")
    _line(left, places, [each.off for each in found.windows], 1, "no history", dashed=True)
    left.set_ylabel(f"{found.metric}, 95 % interval")
    left.legend(frameon=False)
    right.axhline(0, color=GREY, linewidth=1)
    gains = [each.gain for each in found.windows]
    right.errorbar(places, [gain.value for gain in gains], yerr=_errors(gains), fmt="s", color=_colour(0), capsize=3)
    for place, each in zip(places, found.windows, strict=True):
        seeds = each.each_seed
        right.plot([place + 0.12] * len(seeds), seeds, "o", color=_colour(1), markersize=4)
    right.set_ylabel(f"gain in {found.metric}, a dot a seed")
    for axes in (left, right):
        axes.set_xticks(places, [str(window) for window in windows])
        axes.set_xlabel("window, states kept")
    return figure


def _batch_size(found: BatchSizeFigures) -> "Figure":
    figure, (left, right) = _figure(3.8, columns=2)
    sizes = found.sizes
    places = list(range(len(sizes)))
    figures = [each.accuracy for each in sizes]
    left.errorbar(
        places, [each.value for each in figures], yerr=_errors(figures), fmt="s-", color=_colour(0), capsize=3
    )
    for place, row in zip(places, found.methods, strict=True):
        seeds = [each[found.metric] for each in row.each_seed]
        left.plot([place + 0.1] * len(seeds), seeds, "o", color=_colour(1), markersize=4)
    left.set_ylabel(f"{found.metric}, a dot a seed")
    right.bar(places, [each.seconds_an_epoch for each in sizes], color=_colour(0), width=0.6)
    right.set_ylabel("seconds an epoch, on one thread")
    right.grid(visible=False, axis="x")
    for axes in (left, right):
        axes.set_xticks(places, [str(each.batch_size) for each in sizes])
        axes.set_xlabel("sessions in a batch")
    return figure


def _convergence(found: ConvergenceFigures) -> "Figure":
    figure, axes = _figure(6.4, columns=2, rows=2, sharey="row", sharex="col")
    metric = found.metric
    for index, net in enumerate(found.nets):
        for column, key in enumerate(("iteration", "seconds")):
            axes[column].plot(
                [getattr(line, key) for line in net.loss],
                [line.loss for line in net.loss],
                color=_colour(index),
                label=net.name,
            )
            points = net.points
            _line(
                axes[2 + column],
                [getattr(each, key) for each in points],
                [each.hit_rate for each in points],
                index,
                net.name,
            )
    axes[0].set_ylabel("training loss")
    axes[2].set_ylabel("hit rate @20 on the test part")
    axes[2].set_xlabel("iterations")
    axes[3].set_xlabel("seconds of training, on one thread")
    axes[1].legend(frameon=False)
    figure.suptitle(f"mean over {len(found.seeds)} seeds; claim judged by {metric}", fontsize=10, x=0.01, ha="left")
    return figure


_FIGURES: "dict[str, Callable[[Any], Figure]]" = {
    "accuracy": _comparison,
    "als": _comparison,
    "nets": _comparison,
    "top_k": _top_k,
    "history": _history,
    "batch_size": _batch_size,
    "convergence": _convergence,
}
