"""What the results of a run depend on, so that a journal is gone on with by the same search alone."""

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from generator.data.store.parts import parts_of
from generator.errors import DataError
from generator.jobs.fingerprints import add_content
from generator.tuning.plan import TuningPlan
from generator.tuning.sampler import options

__all__ = ["SPLITS", "identity_of"]

SPLITS = ("train.h5", "valid.h5")


def identity_of(plan: TuningPlan, data: Path) -> dict[str, Any]:
    """Return what the results of a run depend on, by the name a user knows it by; the budget is not among it."""
    training = plan.training
    return {
        "search": {name: [gene.kind, asdict(gene)] for name, gene in plan.search.items()},
        "fixed part": plan.spec,
        "objectives": list(plan.objectives),
        "training": {
            "epochs": training.epochs,
            "early_stopping": training.early_stopping.model_dump() if training.early_stopping else None,
            "halving": plan.halving.model_dump() if plan.halving else None,
        },
        "sampler": {"name": plan.sampler, **options(plan)},
        "start": plan.start,
        "genetic": plan.genetic.model_dump(),
        "seed": plan.seed,
        "data": fingerprint(data),
    }


def fingerprint(data: Path) -> str:
    """Return a hash (32 hex digits) of what tuning reads of a data folder, the parts of large splits included."""
    digest = hashlib.blake2b(digest_size=16)
    for name in (*SPLITS, "pages.txt", "items.txt"):
        path = data / name
        if not path.is_file():
            raise DataError(f"{path}: there is none; is {data} a folder of drn sessions?")
        for part in dict.fromkeys([path, *(parts_of(path) if name in SPLITS else [])]):
            add_content(digest, part)
            digest.update(part.name.encode())
    return digest.hexdigest()
