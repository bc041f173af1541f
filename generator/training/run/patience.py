"""Early stopping: when the validation loss has not gained for some test passes, and which snapshot was the best."""

import json
import math
from pathlib import Path

from generator.errors import TrainingError
from generator.files import write_text

__all__ = ["PASSES", "Patience"]

PASSES = "early_stopping.json"


class Patience:
    """The test passes of a run so far, and what follows from them.

    All is derived from the losses, which are the same bits whenever a part is trained again; so a run that was killed
    stops where it would have stopped.

    Parameters
    ----------
    path
        Where the passes are kept, ``RUN/early_stopping.json``.
    patience
        Test passes in a row without a lower loss after which to stop, 1 or more.
    iteration
        Where training goes on: passes after it are forgotten.

    Raises
    ------
    TrainingError
        If the file is damaged.
    """

    def __init__(self, path: Path, patience: int, iteration: int) -> None:
        self._path, self._patience = path, patience
        self._losses = {at: loss for at, loss in _read(path).items() if at <= iteration}

    def add(self, iteration: int, loss: float) -> bool:
        """Keep the loss of a test pass; return whether it is the lowest so far. A NaN never is."""
        self._losses[iteration] = loss
        write_text(self._path, json.dumps({str(at): each for at, each in self._losses.items()}) + "\n")
        return self.best == iteration

    @property
    def best(self) -> int | None:
        """The iteration of the lowest loss, the first of equals; None before the first pass."""
        finite = {at: loss for at, loss in self._losses.items() if math.isfinite(loss)}
        return min(finite, key=lambda at: (finite[at], at), default=None)

    @property
    def over(self) -> bool:
        """Whether the last ``patience`` passes gained nothing."""
        return sum(at > (self.best or 0) for at in self._losses) >= self._patience

    def __str__(self) -> str:
        """Return in words where the best pass was."""
        if self.best is None:
            return "no test pass yet"
        return (
            f"the best of {len(self._losses)} test passes at iteration {self.best}: loss {self._losses[self.best]:.4f}"
        )


def _read(path: Path) -> dict[int, float]:
    if not path.exists():
        return {}
    try:
        return {int(at): float(loss) for at, loss in json.loads(path.read_text(encoding="utf-8")).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise TrainingError(f"{path}: is damaged ({error}); remove it, and patience begins anew") from error
