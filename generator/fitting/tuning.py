"""`drn tune` around a candidate: the plan that is written for it, and the spec that it finds."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from generator.files import write_text
from generator.fitting.choose import Candidate, with_iterations
from generator.fitting.recipes import Recipe
from generator.jobs.workers import Processes
from generator.spec import load_spec
from generator.spec.dump import dump_spec
from generator.tuning.plan import load_plan
from generator.tuning.run import tune

__all__ = ["plan_for", "tuned"]


def plan_for(candidate: Candidate, recipe: Recipe, minutes: float, start: Sequence[str] = ()) -> str:
    """Return the plan of a search around a candidate, as `drn tune` takes it; ``start`` are further specs' files."""
    values: dict[str, Any] = {
        "spec": yaml.safe_load(dump_spec(candidate.spec)),
        "search": recipe.tune,
        "start": list(start),
        "objectives": ["MRR@20"],
        "training": {"epochs": recipe.epochs},
        "confirm": None,  # `drn fit` trains what is found once more, and compares it
        "budget": {"minutes": float(minutes)},
    }
    return "# What drn fit --tune searches.\n" + yaml.safe_dump(values, sort_keys=False, width=120)


def tuned(
    candidate: Candidate, recipe: Recipe, data: Path, folder: Path, minutes: float, others: Sequence[Candidate]
) -> Candidate:
    """Search around a candidate; return the best that is found, trained for as many passes as the candidate.

    Parameters
    ----------
    candidate
        Where the search begins.
    recipe
        Says which fields may change, and for how many passes an individual is trained.
    data
        A data folder with train.h5 and valid.h5.
    folder
        Gets tune.yaml, the plan, and tune/, the run of `drn tune`; it goes on with a run that is there.
    minutes
        After which no generation is begun.
    others
        Candidates with a run in ``folder``: their genes are in the first generation too.
    """
    plan, run = folder / "tune.yaml", folder / "tune"
    write_text(plan, plan_for(candidate, recipe, minutes, [f"{other.name}/spec.yaml" for other in others]))
    loaded = load_plan(plan)
    with Processes(0, loaded.training.timeout) as engine:
        result = tune(loaded, data, run, engine=engine, resume=(run / "journal.jsonl").is_file())
    spec = with_iterations(load_spec(run / "best.yaml"), candidate.spec.solver.max_iter)
    seed = {"random_seed": candidate.spec.solver.random_seed}
    spec = spec.model_copy(update={"solver": spec.solver.model_copy(update=seed)})
    found = {field: f"found by drn tune: {json.dumps(value)}" for field, value in result.best.genes.items()}
    return Candidate("tuned", spec, {**candidate.reasons, **found})
