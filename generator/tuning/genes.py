"""Genes: what one field of the spec may be, as the numbers a sampler draws and the value they stand for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

__all__ = ["ChoiceGene", "Gene", "ListGene", "NumberGene"]

DIGITS = 4  # significant digits of a drawn float: more say nothing, and split the cache


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

    def parameters(self, name: str) -> "dict[str, BaseDistribution]":
        """Return what a sampler draws for the gene ``name``, by parameter."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.whole:
            return {name: IntDistribution(int(self.low), int(self.high), log=self.log, step=self.step)}
        return {name: FloatDistribution(self.low, self.high, log=self.log)}

    def express(self, name: str, drawn: Mapping[str, Any]) -> Any:
        """Return the value of the gene ``name`` in a drawn genome."""
        if self.whole:
            return int(drawn[name])
        return min(max(float(f"{drawn[name]:.{DIGITS}g}"), self.low), self.high)

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

    def parameters(self, name: str) -> "dict[str, BaseDistribution]":
        """As `NumberGene.parameters`; the index is drawn, for optuna's categories are scalars."""
        from optuna.distributions import CategoricalDistribution

        return {name: CategoricalDistribution(range(len(self.values)))}

    def express(self, name: str, drawn: Mapping[str, Any]) -> Any:
        """As `NumberGene.express`."""
        return self.values[drawn[name]]

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

    def parameters(self, name: str) -> "dict[str, BaseDistribution]":
        """As `NumberGene.parameters`: ``name.length`` and ``name[0]``, ``name[1]``, ..."""
        from optuna.distributions import IntDistribution

        found: dict[str, BaseDistribution] = {f"{name}.length": IntDistribution(self.shortest, self.longest)}
        for index in range(self.longest):
            found |= self.element.parameters(f"{name}[{index}]")
        return found

    def express(self, name: str, drawn: Mapping[str, Any]) -> list[Any]:
        """As `NumberGene.express`."""
        return [self.element.express(f"{name}[{index}]", drawn) for index in range(drawn[f"{name}.length"])]

    def extremes(self) -> list[Any]:
        """As `NumberGene.extremes`: each extreme of the element in the shortest and in the longest list."""
        return [
            [value] * length
            for length in dict.fromkeys((self.shortest, self.longest))
            for value in self.element.extremes()
        ]


Gene = NumberGene | ChoiceGene | ListGene
