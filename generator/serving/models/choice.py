"""Which versions of a model serve sessions."""

from dataclasses import dataclass

__all__ = ["VersionChoice"]


@dataclass(frozen=True)
class VersionChoice:
    """Which versions of the model serve sessions.

    Attributes
    ----------
    pin
        The version served; None: the newest that holds.
    rival
        Another version, compared with it.
    share
        Of the sessions that the rival serves, by the hash of their ids.
    """

    pin: int | None = None
    rival: int | None = None
    share: float = 0.0
