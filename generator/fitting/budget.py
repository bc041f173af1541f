"""The minutes of a fit: what they leave for trials and for the last training."""

__all__ = ["TimeBudget"]

TRIALS = 0.3  # share of the time after which no candidate is begun, nor goes on
USED = 0.9  # share of the time that is planned for
LEAST = 0.1  # share of the time that the first trial gets, and the last training, whatever the rest takes


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

    @property
    def left(self) -> float:
        """The seconds that are left of those that are planned for."""
        return USED * self._seconds - self._spent

    def for_trial(self) -> float:
        """Return the seconds that are left to try a candidate; 0 or less where there is no time for another."""
        return TRIALS * self._seconds - self._spent

    def for_first_trial(self) -> float:
        """Return the seconds for the candidate that is tried whatever else takes."""
        return max(self.for_trial(), LEAST * self._seconds)

    def for_training(self, kept: float) -> float:
        """Return the seconds that are left for the last training, where ``kept`` are needed after it."""
        return max(self.left - kept, LEAST * self._seconds)
