"""Charts as inline SVG, written by hand: no script, no font and no file from elsewhere."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

__all__ = ["Axis", "Line", "bars", "grouped", "lines", "parallel", "scatter"]

WIDTH, HEIGHT = 760, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 14, 44
PALE, WARM = (176, 196, 214), (213, 94, 0)
# Okabe and Ito's palette, told apart by colour-blind eyes.
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7b8794", "#000000")


@dataclass(frozen=True)
class Axis:
    """A numeric axis from ``low`` to ``high`` with a ``title``; ``log`` needs ``low`` above 0."""

    title: str
    low: float
    high: float
    log: bool = False

    @classmethod
    def over(cls, title: str, values: Sequence[float], *, log: bool = False) -> "Axis":
        """Return an axis that holds ``values`` with a little room around."""
        low, high = min(values), max(values)
        if log and low > 0:
            return cls(title, low / 1.1, high * 1.1, log=True)
        room = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
        return cls(title, low - room, high + room)

    def place(self, value: float) -> float:
        """Return where ``value`` is, from 0 to 1."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Return about five round values within the axis."""
        if self.log and self.high / self.low > 5:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            found = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
            found = [value for value in found if self.low <= value <= self.high]
            return found if len(found) <= 6 else [value for value in found if f"{value:e}"[0] == "1"]
        rough = (self.high - self.low) / 5
        scale = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * scale for factor in (1, 2, 5, 10) if factor * scale >= rough)
        first = math.ceil(self.low / step)
        return [index * step for index in range(first, math.floor(self.high / step) + 1)]


@dataclass(frozen=True)
class Line:
    """A curve through ``points`` (x, y), x rising; ``strong`` ones are wide, the others dashed."""

    name: str
    points: Sequence[tuple[float, float]]
    strong: bool = True


def number(value: Any) -> str:
    """Return a figure in few characters."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e6):
        return f"{int(value):,}"
    return f"{value:.3g}"


def scatter(
    x: Axis,
    y: Axis,
    points: Sequence[tuple[float, float, str, str]],
    line: Sequence[tuple[float, float]] = (),
    label: str = "",
) -> str:
    """Return a chart of points, each (x, y, CSS class, tooltip), and a stepped line over them.

    Parameters
    ----------
    x, y
        The axes; all points lie within.
    points
        In the order they are painted.
    line
        Corners of the line, x rising.
    label
        What the chart shows, for screen readers.
    """
    parts = [_open(label, HEIGHT), _frame(x, y)]
    if line:
        steps = [f"M{_x(x, line[0][0]):.1f} {_y(y, line[0][1]):.1f}"]
        steps += [f"H{_x(x, at):.1f}V{_y(y, value):.1f}" for at, value in line[1:]]
        parts.append(f'<path class="line" d="{"".join(steps)}"/>')
    parts += [
        f'<circle class="{kind}" cx="{_x(x, at):.1f}" cy="{_y(y, value):.1f}" r="4">'
        f"<title>{escape(tip)}</title></circle>"
        for at, value, kind, tip in points
    ]
    return "".join([*parts, "</svg>"])


def lines(x: Axis, y: Axis, curves: Sequence[Line], label: str = "") -> str:
    """Return a chart of curves, with their names beside it in the order they are given."""
    wide = WIDTH + 170  # room for the names
    parts = [f'<svg viewBox="0 0 {wide} {HEIGHT}" role="img" aria-label="{escape(label)}">', _frame(x, y)]
    for index, curve in enumerate(curves):
        colour = COLOURS[index % len(COLOURS)]
        path = " ".join(f"{_x(x, at):.1f},{_y(y, value):.1f}" for at, value in curve.points)
        style = 'stroke-width="2.2"' if curve.strong else 'stroke-width="1.3" stroke-dasharray="5 3"'
        parts += [
            f'<polyline fill="none" stroke="{colour}" {style} points="{path}">',
            f"<title>{escape(curve.name)}</title></polyline>",
        ]
        parts.append(_key(index, curve.name, colour))
    return "".join([*parts, "</svg>"])


def grouped(groups: Sequence[str], series: Sequence[tuple[str, Sequence[float]]], title: str, label: str = "") -> str:
    """Return upright bars, one for each of ``series`` (name, a value from 0 on for each group) in every group."""
    most = max((value for _, values in series for value in values), default=0) or 1
    axis = Axis(title, 0, most * 1.05)
    wide, step = WIDTH + 170, (WIDTH - LEFT - RIGHT) / max(len(groups), 1)
    parts = [f'<svg viewBox="0 0 {wide} {HEIGHT}" role="img" aria-label="{escape(label)}">', _heights(axis)]
    each = 0.8 * step / max(len(series), 1)
    for index, (name, values) in enumerate(series):
        colour = COLOURS[index % len(COLOURS)]
        for place, value in enumerate(values):
            left, top = LEFT + step * (place + 0.1) + each * index, _y(axis, value)
            parts.append(
                f'<rect fill="{colour}" x="{left:.1f}" y="{top:.1f}" width="{each:.1f}" '
                f'height="{HEIGHT - BOTTOM - top:.1f}"><title>{escape(name)}, {escape(groups[place])}: {value:.3f}'
                "</title></rect>"
            )
        parts.append(_key(index, name, colour))
    foot = HEIGHT - BOTTOM + 16
    parts += [
        f'<text class="tick middle" x="{LEFT + step * (place + 0.5):.1f}" y="{foot}">{escape(name)}</text>'
        for place, name in enumerate(groups)
    ]
    return "".join([*parts, "</svg>"])


def _key(index: int, name: str, colour: str) -> str:
    """Return the name of a series beside the chart, after a sample of its colour."""
    y = TOP + 10 + 20 * index
    return (
        f'<rect fill="{colour}" x="{WIDTH + 4}" y="{y - 8}" width="12" height="8"/>'
        f'<text x="{WIDTH + 22}" y="{y}">{escape(name)}</text>'
    )


def bars(rows: Sequence[tuple[str, float]], label: str = "") -> str:
    """Return horizontal bars, one a row (name, share from 0 to 1)."""
    height, left = 24, 190
    most = max((value for _, value in rows), default=1) or 1
    parts = [_open(label, height * len(rows) + 8)]
    for index, (name, value) in enumerate(rows):
        y = height * index + 4
        width = (WIDTH - left - 70) * value / most
        parts.append(
            f'<text class="name" x="{left - 8}" y="{y + 15}">{escape(name)}</text>'
            f'<rect class="bar" x="{left}" y="{y + 2}" width="{max(width, 1):.1f}" height="18" rx="2"/>'
            f'<text x="{left + width + 6:.1f}" y="{y + 15}">{100 * value:.0f} %</text>'
        )
    return "".join([*parts, "</svg>"])


def parallel(columns: Sequence[tuple[str, Sequence[Any], bool]], shades: Sequence[float], tips: Sequence[str]) -> str:
    """Return parallel coordinates: one axis a column, one line an individual.

    Parameters
    ----------
    columns
        (name, one value for each individual, whether the axis is logarithmic); numbers are placed by value, other
        values by rank, None (nothing to read) at the foot.
    shades
        From 0 (pale, painted first) to 1 for each individual.
    tips
        Tooltips.
    """
    height, gap = 400, max(62, (WIDTH - 60) // max(len(columns) - 1, 1))
    width = gap * (len(columns) - 1) + 100
    top, foot = 76, height - 28
    places: list[list[float]] = []
    parts = [
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        'aria-label="parallel coordinates of the genes">'
    ]
    axes: list[str] = []
    for index, (name, values, log) in enumerate(columns):
        x = 50 + gap * index
        place, ticks = _scale(values, log)
        ys = [foot + 14 if value is None else foot - place(value) * (foot - top) for value in values]
        places.append(ys)
        axes.append(f'<line class="axis" x1="{x}" y1="{top}" x2="{x}" y2="{foot}"/>')
        axes += [
            f'<text class="tick halo" x="{x + 4}" y="{foot - at * (foot - top) + 4:.1f}">{escape(text[:14])}</text>'
            for at, text in ticks
        ]
        # Names take three lines in turn, so that neighbours do not run into each other.
        axes.append(f'<text class="head" x="{x}" y="{16 + 18 * (index % 3)}">{escape(name)}</text>')
    for row in sorted(range(len(shades)), key=lambda row: shades[row]):
        path = " ".join(f"{50 + gap * index},{ys[row]:.1f}" for index, ys in enumerate(places))
        shade = shades[row]
        colour = "rgb(" + " ".join(f"{a + (b - a) * shade:.0f}" for a, b in zip(PALE, WARM, strict=True)) + ")"
        parts.append(
            f'<polyline class="way" points="{path}" stroke="{colour}" stroke-opacity="{0.25 + 0.7 * shade:.2f}">'
            f"<title>{escape(tips[row])}</title></polyline>"
        )
    return "".join([*parts, *axes, "</svg>"])


def _scale(values: Sequence[Any], log: bool) -> tuple[Callable[[Any], float], list[tuple[float, str]]]:
    """Return where a value is on its axis, from 0 to 1, and the ticks."""
    present = [value for value in values if value is not None]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        names = sorted(set(map(str, present)))
        at = {name: index / max(len(names) - 1, 1) for index, name in enumerate(names)}
        return (lambda value: at[str(value)]), [(place, name) for name, place in at.items()]
    numbers: list[float] = sorted(set(present))
    if len(numbers) > 8:
        axis = Axis("", numbers[0], numbers[-1], log and numbers[0] > 0)
        ticks = [numbers[0], *_inner(axis), numbers[-1]]
        return axis.place, [(axis.place(tick), number(tick)) for tick in ticks]
    ranks = {value: index / max(len(numbers) - 1, 1) for index, value in enumerate(numbers)}
    return (lambda value: ranks[value]), [(place, number(value)) for value, place in ranks.items()]


def _inner(axis: Axis) -> list[float]:
    """Return the ticks of an axis that do not crowd its ends."""
    return [tick for tick in axis.ticks() if 0.06 < axis.place(tick) < 0.94]


def _open(label: str, height: int) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">'


def _x(axis: Axis, value: float) -> float:
    return LEFT + axis.place(value) * (WIDTH - LEFT - RIGHT)


def _y(axis: Axis, value: float) -> float:
    return HEIGHT - BOTTOM - axis.place(value) * (HEIGHT - TOP - BOTTOM)


def _frame(x: Axis, y: Axis) -> str:
    """Return grid, ticks and titles of two axes."""
    parts = [_heights(y)]
    for tick in x.ticks():
        at = _x(x, tick)
        parts.append(f'<text class="tick middle" x="{at:.1f}" y="{HEIGHT - BOTTOM + 16}">{number(tick)}</text>')
    parts.append(f'<text class="middle" x="{(LEFT + WIDTH) / 2:.0f}" y="{HEIGHT - 8}">{escape(x.title)}</text>')
    return "".join(parts)


def _heights(y: Axis) -> str:
    """Return grid, ticks and title of the upright axis."""
    parts = []
    for tick in y.ticks():
        at = _y(y, tick)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - RIGHT}" y2="{at:.1f}"/>')
        parts.append(f'<text class="tick end" x="{LEFT - 6}" y="{at + 4:.1f}">{number(tick)}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text class="middle" transform="rotate(-90 14 {middle:.0f})" x="14" y="{middle:.0f}">{escape(y.title)}</text>'
    )
    return "".join(parts)
