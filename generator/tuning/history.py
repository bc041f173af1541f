"""The history of a search: its individuals, and how far it is."""

from dataclasses import dataclass, field
from typing import Any, Literal

from generator.spec import Spec
from generator.tuning.selection import Point

__all__ = ["Individual", "State", "Status"]

State = Literal["complete", "stopped", "failed"]


@dataclass(eq=False)
class Individual:
    """One individual of the history.

    Attributes
    ----------
    number, generation
        Counted from 0.
    genome
        What was drawn, by parameter.
    genes
        What it stands for, by field of the spec.
    hash
        Hash of the genome's spec.
    spec
        The spec as it was trained, seed and iterations filled in.
    first
        The number of the first individual with this spec, the one that was trained.
    state
        ``complete``; ``stopped``: not trained to the end; ``failed``.
    share
        How much of its training it was ranked after.
    values
        The objectives by name, and further figures of the same training: HR@20, ...; None if it failed.
    figures
        The objectives as the sampler gets them, one figure each.
    curve
        What it came to at each rung it was trained to, more being better.
    error
        Why it failed.
    """

    number: int
    generation: int
    genome: dict[str, Any]
    genes: dict[str, Any]
    hash: str
    spec: Spec
    first: int
    state: State = "failed"
    share: float = 0.0
    values: dict[str, float] | None = None
    figures: tuple[float, ...] = ()
    curve: list[Point] = field(default_factory=list)
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return what the history says of it: nothing that depends on time, workers or kills."""
        keys = ("number", "generation", "genes", "hash", "first", "state", "share", "values", "error")
        solver = self.spec.solver
        own = {key: getattr(self, key) for key in keys}
        return {**own, "random_seed": solver.random_seed, "max_iter": solver.max_iter}


@dataclass(frozen=True)
class Status:
    """How far a search is; ``seconds`` of wall time, earlier parts included."""

    generation: int
    trained: int
    epochs: float
    seconds: float
    best: float | None
    front: int
    per_minute: float
