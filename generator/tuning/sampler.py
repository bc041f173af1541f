"""What draws genomes, a generation at a time: the surrogate of drn, or a sampler of Optuna."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Protocol

from generator.tuning import optuna_samplers, surrogate_sampler
from generator.tuning.history import Individual
from generator.tuning.plan import TuningPlan

__all__ = ["Sampler", "options", "require", "sampler_for", "versions"]

OWN = "surrogate"


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
    if plan.sampler == OWN:
        return surrogate_sampler.SurrogateSampler(plan)
    return optuna_samplers.OptunaSampler(plan)


def require(plan: TuningPlan) -> None:
    """Raise DrnError where what the plan's sampler needs is not installed, or too old."""
    if plan.sampler != OWN:
        optuna_samplers.require_optuna(plan.sampler)


def options(plan: TuningPlan) -> dict[str, Any]:
    """Return what bears on what the plan's sampler draws, as the journal holds it."""
    return surrogate_sampler.OPTIONS if plan.sampler == OWN else optuna_samplers.options(plan)


def versions(plan: TuningPlan) -> dict[str, str]:
    """Return the version of each package that bears on what the plan's sampler draws."""
    return {"numpy": version("numpy")} if plan.sampler == OWN else optuna_samplers.versions(plan.sampler)
