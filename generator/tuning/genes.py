"""Genes: what one field of the spec may be, as the numbers a sampler draws and the value they stand for."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

__all__ = ["ChoiceGene", "Gene", "GeneParameter", "ListGene", "NumberGene"]

DIGITS = 4  # significant digits of a drawn float: more say nothing, and split the cache


@dataclass(frozen=True)
class GeneParameter:
    """One number that a sampler draws, from ``low`` to ``high``, both included.

    Attributes
    ----------
    whole
        Whether it is a whole number: ``low``, ``low + step``, ...
    log
        Whether its logarithm is drawn evenly.
    category
        Whether it is the index of a choice, of which all are as likely.
    ordered
        Whether neighbours are alike; the indices of a choice among rising numbers are ordered too.
    """

    low: float
    high: float
    whole: bool
    log: bool = False
    step: int = 1
    category: bool = False
    ordered: bool = True

    def at(self, unit: float) -> int | float:
        """Return the value at ``unit`` of 0 to 1; evenly drawn units give evenly drawn values."""
        if not self.whole:
            value = _scaled(self.low, self.high, unit, self.log)
            return min(max(value, self.low), self.high)
        if self.log:
            value = round(_scaled(self.low - 0.5, self.high + 0.5, unit, log=True))
            return int(min(max(value, self.low), self.high))
        count = int(self.high - self.low) // self.step + 1
        return int(self.low) + min(int(unit * count), count - 1) * self.step

    def place(self, value: float) -> float:
        """Return where ``value`` lies between ``low`` and ``high``, 0 to 1; 0 if there is but one value."""
        if self.high <= self.low:
            return 0.0
        if self.log:
            margin = 0.5 if self.whole else 0.0  # as in `at`
            low, high = self.low - margin, self.high + margin
            return math.log(value / low) / math.log(high / low)
        return (value - self.low) / (self.high - self.low)


def _scaled(low: float, high: float, unit: float, log: bool) -> float:
    return low * (high / low) ** unit if log else low + (high - low) * unit


@dataclass(frozen=True)
class NumberGene:
    """A number from ``low`` to ``high``, both included.

    Attributes
    ----------
    whole
        Whether it is a whole number.
    log
        Whether its logarithm is drawn evenly; ``low`` is above 0 then.
    step
        Of whole numbers: only ``low``, ``low + step``, ... are drawn.
    """

    kind: ClassVar = "Number"  # in journals
    low: float
    high: float
    whole: bool
    log: bool = False
    step: int = 1

    def parameters(self, name: str) -> dict[str, GeneParameter]:
        """Return what a sampler draws for the gene ``name``, by parameter."""
        low, high = self.extremes()
        return {name: GeneParameter(low, high, self.whole, self.log, self.step)}

    def express(self, name: str, drawn: Mapping[str, Any]) -> Any:
        """Return the value of the gene ``name`` in a drawn genome."""
        if self.whole:
            return int(drawn[name])
        return min(max(float(f"{drawn[name]:.{DIGITS}g}"), self.low), self.high)

    def drawn(self, name: str, value: Any) -> dict[str, Any]:
        """Return what is drawn where the gene ``name`` has ``value``, by parameter; empty if it cannot have it."""
        fits = type(value) in (int, float) and self.low <= value <= self.high
        if self.whole:
            fits = fits and value == int(value) and (int(value) - int(self.low)) % self.step == 0
        return {name: value} if fits else {}

    def extremes(self) -> list[Any]:
        """Return values that break a rule of the spec if any value of the gene does."""
        if not self.whole:
            return [self.low, self.high]
        return [int(self.low), int(self.low) + (int(self.high) - int(self.low)) // self.step * self.step]


@dataclass(frozen=True)
class ChoiceGene:
    """One of ``values``: any YAML values, lists and sections included."""

    kind: ClassVar = "Choice"  # in journals
    values: tuple[Any, ...]

    def parameters(self, name: str) -> dict[str, GeneParameter]:
        """As `NumberGene.parameters`; the index is drawn, for values may be lists and sections."""
        numbers = [value for value in self.values if type(value) in (int, float)]
        ordered = len(numbers) == len(self.values) and numbers in (sorted(numbers), sorted(numbers, reverse=True))
        return {name: GeneParameter(0, len(self.values) - 1, True, category=True, ordered=ordered)}

    def express(self, name: str, drawn: Mapping[str, Any]) -> Any:
        """As `NumberGene.express`."""
        return self.values[drawn[name]]

    def drawn(self, name: str, value: Any) -> dict[str, Any]:
        """As `NumberGene.drawn`."""
        return {name: self.values.index(value)} if value in self.values else {}

    def extremes(self) -> list[Any]:
        """As `NumberGene.extremes`."""
        return list(self.values)


@dataclass(frozen=True)
class ListGene:
    """A list of ``shortest`` to ``longest`` values of one gene.

    It is drawn at full length, with its length as a gene of its own, and read up to that length: crossover and
    mutation then work on lists of any length alike.
    """

    kind: ClassVar = "Listing"  # in journals
    element: NumberGene | ChoiceGene
    shortest: int
    longest: int

    def parameters(self, name: str) -> dict[str, GeneParameter]:
        """As `NumberGene.parameters`: ``name.length`` and ``name[0]``, ``name[1]``, ..."""
        found = {f"{name}.length": GeneParameter(self.shortest, self.longest, whole=True)}
        for index in range(self.longest):
            found |= self.element.parameters(f"{name}[{index}]")
        return found

    def express(self, name: str, drawn: Mapping[str, Any]) -> list[Any]:
        """As `NumberGene.express`."""
        return [self.element.express(f"{name}[{index}]", drawn) for index in range(drawn[f"{name}.length"])]

    def drawn(self, name: str, value: Any) -> dict[str, Any]:
        """As `NumberGene.drawn`; what the list is too short for is left out."""
        if not isinstance(value, list) or not self.shortest <= len(value) <= self.longest:
            return {}
        found = {f"{name}.length": len(value)}
        for index, each in enumerate(value):
            if not (one := self.element.drawn(f"{name}[{index}]", each)):
                return {}
            found |= one
        return found

    def extremes(self) -> list[Any]:
        """As `NumberGene.extremes`: each extreme of the element in the shortest and in the longest list."""
        return [
            [value] * length
            for length in dict.fromkeys((self.shortest, self.longest))
            for value in self.element.extremes()
        ]


Gene = NumberGene | ChoiceGene | ListGene
