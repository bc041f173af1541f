"""The minutes of a fit: what they leave for trials and for the last training."""

__all__ = ["TimeBudget"]

TRIALS = 0.35  # share of the time after which no candidate is begun
USED = 0.9  # share of the time that is planned for


class TimeBudget:
    """Seconds that may be spent, and those that were, by all parts of a fit that was interrupted.

    Parameters
    ----------
    seconds
        In all.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds, self._spent = seconds, 0.0

    def spend(self, seconds: float) -> None:
        """Count the seconds of a stage."""
        self._spent += seconds

    def allows_another_trial(self) -> bool:
        """Return whether a candidate may be begun."""
        return self._spent < TRIALS * self._seconds

    def iterations(self, most: int, speed: float, kept: float) -> int:
        """Return how many iterations of a training there is time for, ``most`` at most, 1 at least.

        Parameters
        ----------
        most
            Iterations wanted.
        speed
            Iterations a second.
        kept
            Seconds that are needed after it.
        """
        left = USED * self._seconds - self._spent - kept
        return max(1, min(most, int(left * speed)))
