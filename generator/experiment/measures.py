"""What each experiment finds, in figures; report.json holds them field by field.

Wherever seconds are given, the name is ``seconds`` or begins with it: they alone differ from run to run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from generator.evaluation.metrics import Interval

__all__ = [
    "AccuracyFigures",
    "BatchSizeFigures",
    "Comparison",
    "Contrast",
    "ConvergenceFigures",
    "Course",
    "FactorisationFigures",
    "Figures",
    "HistoryFigures",
    "Kind",
    "LossLine",
    "MethodFigures",
    "NetsFigures",
    "Point",
    "RateFigures",
    "Reached",
    "SizeFigures",
    "TopKFigures",
    "WindowFigures",
]

Kind = Literal["net", "baseline"]


@dataclass(frozen=True)
class Figures:
    """Of any experiment: the ``metric`` it is judged by, and the ``seeds`` its nets were trained by."""

    metric: str
    seeds: Sequence[int]


@dataclass(frozen=True)
class MethodFigures:
    """A net or a baseline: its metrics by name, the same seed by seed with the ``seed``, seconds of a training."""

    name: str
    kind: Kind
    metrics: Mapping[str, Interval]
    each_seed: Sequence[Mapping[str, float]]
    seconds: float


@dataclass(frozen=True)
class Comparison:
    """How far ``method`` is ahead of ``other``, paired; ``each_seed`` by each."""

    method: str
    other: str
    difference: Interval
    each_seed: Sequence[float]


@dataclass(frozen=True)
class AccuracyFigures(Figures):
    """All methods, and the ``subject`` beside each of the others."""

    subject: str
    methods: Sequence[MethodFigures]
    comparisons: Sequence[Comparison]


@dataclass(frozen=True)
class FactorisationFigures(Figures):
    """The nets, each beside the ``baseline``."""

    baseline: str
    methods: Sequence[MethodFigures]
    comparisons: Sequence[Comparison]


@dataclass(frozen=True)
class NetsFigures(Figures):
    """The nets, each beside the one before it."""

    methods: Sequence[MethodFigures]
    comparisons: Sequence[Comparison]


@dataclass(frozen=True)
class RateFigures:
    """The hit rates of a method, one a cutoff."""

    name: str
    kind: Kind
    hit_rate: Sequence[Interval]


@dataclass(frozen=True)
class TopKFigures(Figures):
    """Hit rates at each K of ``cutoffs``, and which method has the highest."""

    cutoffs: Sequence[int]
    methods: Sequence[RateFigures]
    leaders: Sequence[str]


@dataclass(frozen=True)
class WindowFigures:
    """The metric at a window with the history off and on, and what it gains, by each seed too."""

    window: int
    off: Interval
    on: Interval
    gain: Interval
    each_seed: Sequence[float]


@dataclass(frozen=True)
class Contrast:
    """How much more the history gains at the ``small`` window than at the ``large`` one."""

    small: int
    large: int
    difference: Interval


@dataclass(frozen=True)
class HistoryFigures(Figures):
    """A variant with a history of ``states`` and without, window by window."""

    variant: str
    states: int
    methods: Sequence[MethodFigures]
    windows: Sequence[WindowFigures]
    contrast: Contrast


@dataclass(frozen=True)
class SizeFigures:
    """The metric with batches of a size, and its difference from the smallest size."""

    batch_size: int
    iterations: float
    epochs: float
    accuracy: Interval
    difference: Interval
    seconds_an_epoch: float


@dataclass(frozen=True)
class BatchSizeFigures(Figures):
    """A variant by the size of its batches; a loss of ``tolerance`` is little."""

    variant: str
    tolerance: float
    methods: Sequence[MethodFigures]
    sizes: Sequence[SizeFigures]


@dataclass(frozen=True)
class Point:
    """The metric and HR@20 after some of the training."""

    epochs: float
    iteration: float
    accuracy: Interval
    hit_rate: Interval
    seconds: float


@dataclass(frozen=True)
class LossLine:
    """The mean loss of the updates up to an iteration, since the line before."""

    iteration: float
    loss: float
    seconds: float


@dataclass(frozen=True)
class Reached:
    """The first point whose metric is the share wanted of the ``final`` one."""

    epochs: float
    value: float
    final: float
    of_epochs: float
    before_the_end: bool


@dataclass(frozen=True)
class Course:
    """A net in the course of its training."""

    name: str
    points: Sequence[Point]
    loss: Sequence[LossLine]
    reached: Reached


@dataclass(frozen=True)
class ConvergenceFigures(Figures):
    """The nets in the course of their training; ``share`` of the final metric counts as converged, ``few`` epochs."""

    share: float
    few: float
    nets: Sequence[Course]
