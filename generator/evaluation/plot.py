"""Hit rate over the cut-off, one curve a method with its interval, as a PNG."""

from pathlib import Path
from typing import TYPE_CHECKING

from generator.errors import DrnError, lacking
from generator.evaluation.metrics import CUTOFF
from generator.files import replacing

if TYPE_CHECKING:
    from generator.evaluation.evaluate import Report

__all__ = ["plot"]

# Okabe and Ito's palette, told apart by colour-blind eyes; the markers tell curves apart in grey too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX*"


def plot(report: "Report", path: Path) -> None:
    """Draw the hit rate @1..@20 of every method of ``report`` to the PNG ``path``.

    Models are drawn in solid lines and baselines dashed; the legend is in the order of the curves at @20.

    Raises
    ------
    DrnError : matplotlib is not installed, the file is called no .png, or cannot be written.
    """
    if path.suffix != ".png":
        raise DrnError(f"{path}: a plot is a PNG: name a file that ends in .png")
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise DrnError(lacking("matplotlib", "a plot")) from error
    mpl.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    cutoffs = list(range(1, CUTOFF + 1))
    for index, method in enumerate(sorted(report.methods, key=lambda method: -method.metrics["HR@20"].value)):
        rates = [method.metrics[f"HR@{k}"] for k in cutoffs]
        colour = COLOURS[index % len(COLOURS)]
        axes.fill_between(cutoffs, [r.low for r in rates], [r.high for r in rates], color=colour, alpha=0.15, lw=0)
        axes.plot(
            cutoffs,
            [rate.value for rate in rates],
            color=colour,
            linestyle="-" if method.kind == "model" else "--",
            marker=MARKERS[index % len(MARKERS)],
            markersize=4,
            linewidth=2 if method.kind == "model" else 1.3,
            label=f"{method.name}  {rates[-1].value:.3f}",
        )
    axes.set_title(f"{report.data}, {report.split}: {report.rows:,} rows of {report.sessions:,} sessions", loc="left")
    axes.set_xlabel("k, items recommended")
    axes.set_ylabel("hit rate @k, 95 % interval shaded")
    axes.set_xlim(0.5, CUTOFF + 0.5)
    axes.set_ylim(bottom=0)
    axes.set_xticks(cutoffs)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(title="hit rate @20", loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    try:
        with replacing(path) as beside:
            figure.savefig(beside, format="png")
    except OSError as error:
        raise DrnError(f"{path}: the plot cannot be written ({error.strerror}); name another file by --plot") from error
