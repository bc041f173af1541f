"""What draws genomes, a generation at a time."""

from collections.abc import Sequence
from typing import Any, Protocol

from generator.tuning.history import Individual
from generator.tuning.plan import TuningPlan

__all__ = ["Sampler", "sampler_for"]


class Sampler(Protocol):
    """A deterministic source of genomes: the same seed and the same history give the same genomes."""

    def ask(self) -> dict[str, Any]:
        """Return a genome: what was drawn, by parameter. It may be asked several times before it is told."""
        ...

    def tell(self, asked: Sequence[Individual]) -> None:
        """Say what the individuals of the genomes asked for since the last time came to, in their order."""
        ...


def sampler_for(plan: TuningPlan) -> Sampler:
    """Return the sampler that ``plan`` names."""
    from generator.tuning.optuna_samplers import OptunaSampler

    return OptunaSampler(plan)
