"""What each experiment of a plan needs: nets to train, baselines to fit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from generator.experiment.plan import ExperimentPlan
from generator.spec import Spec, spec_hash

__all__ = ["NetVariant", "baselines_of", "batch_name", "history_name", "nets_of", "points_of"]


@dataclass(frozen=True)
class NetVariant:
    """A net to train.

    Attributes
    ----------
    spec
        The net.
    like
        The spec whose number of epochs it is trained for.
    """

    spec: Spec
    like: Spec

    @property
    def hash(self) -> str:
        """Hash of the spec."""
        return spec_hash(self.spec)

    def iterations(self, rows: int, rows_like: int) -> int:
        """Return the updates that make as many epochs of ``rows`` as ``like`` makes of its ``rows_like``."""
        mine, theirs = self.spec.solver, self.like.solver
        epochs = theirs.epochs or theirs.max_iter * theirs.batch_size * theirs.iter_size / rows_like
        return mine.updates(epochs, rows)


def batch_name(size: int) -> str:
    """Return what the net with batches of ``size`` is called."""
    return f"batch {size}"


def history_name(window: int, states: int) -> str:
    """Return what the net with ``window`` and a history of ``states`` is called."""
    return f"window {window}, history {states or 'off'}"


def nets_of(plan: ExperimentPlan, experiment: str) -> dict[str, NetVariant]:
    """Return the nets of an experiment of ``plan``, by the name to report."""
    tried = getattr(plan.experiments, experiment)
    if experiment == "history":
        base = plan.specs[plan.variant(tried.variant)]
        return {
            history_name(window, states): NetVariant(_changed(base, "rnn", window=window, history=states), base)
            for window in tried.windows
            for states in (0, tried.states)
        }
    if experiment == "batch_size":
        base = plan.specs[plan.variant(tried.variant)]
        return {batch_name(size): NetVariant(_changed(base, "solver", batch_size=size), base) for size in tried.values}
    names = plan.variants(getattr(tried, "variants", ()))
    return {name: NetVariant(plan.specs[name], plan.specs[name]) for name in names}


def baselines_of(plan: ExperimentPlan, experiment: str) -> list[str]:
    """Return the baselines of an experiment of ``plan``."""
    if experiment == "als":
        return [plan.experiments.als.baseline] if plan.experiments.als else []
    return list(plan.baselines) if experiment in ("accuracy", "top_k") else []


def points_of(plan: ExperimentPlan) -> Mapping[str, list[float]]:
    """Return the epochs after which a net is ranked beside the end, by the hash of its spec.

    They are part of what a training is kept under, so they are those of the whole plan, whichever experiments run.
    """
    if plan.experiments.convergence is None:
        return {}
    return {net.hash: plan.experiments.convergence.epochs for net in nets_of(plan, "convergence").values()}


def _changed(spec: Spec, section: str, **fields: Any) -> Spec:
    return spec.model_copy(update={section: getattr(spec, section).model_copy(update=fields)})
