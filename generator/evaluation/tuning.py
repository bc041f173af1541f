"""The arguments of a baseline, chosen on the validation split."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from generator.errors import DataError
from generator.evaluation.baseline import Baseline, Choice
from generator.evaluation.metrics import METRICS, values
from generator.evaluation.rows import SplitRows

__all__ = ["ROWS", "tuned"]

ROWS = 20_000  # of the validation split that a setting is judged by, at most: whole batches from all over it
METRIC = "MRR@20"
_BATCH = 256


def tuned(baseline: Baseline, data: Path) -> Baseline:
    """Return the best of ``baseline`` as it is and with each of its ``grid``, by MRR@20, with its ``choice``.

    Each is fitted on the training split of ``data`` and ranks up to `ROWS` rows of its validation split, the same ones;
    the first of equals is kept. A baseline without a grid is returned as it is.

    Raises
    ------
    DataError : the data have no validation split.
    """
    if not baseline.grid:
        return baseline
    settings = [{**baseline.settings, **one} for one in ({}, *baseline.grid)]
    if not (data / "valid.h5").is_file():
        raise DataError(
            f"{data} has no validation split (valid.h5) to choose the settings of {baseline.name} on: "
            "write one by drn sessions --valid-share 0.1"
        )
    figures = [_figure(type(baseline), one, data) for one in settings]
    best = int(np.argmax(figures))
    found = type(baseline)(**settings[best])
    found.choice = Choice(len(settings), METRIC, figures[best])
    return found


def _figure(kind: type[Baseline], settings: Mapping[str, Any], data: Path) -> float:
    """Return `METRIC` of a baseline with these arguments."""
    baseline = kind(**settings)
    with SplitRows(data, "train") as train:
        baseline.fit(train)
    with SplitRows(data, "valid") as part:
        if len(part) == 0:
            raise DataError(f"{part.path}: it has no row to choose settings on")
        every = -(-len(part) // ROWS)
        found = [
            values(baseline.rank(batch).rank)[:, METRICS.index(METRIC)]
            for number, batch in enumerate(part.batches(_BATCH))
            if number % every == 0
        ]
    return float(np.concatenate(found).mean())
