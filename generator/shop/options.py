"""What a simulated shop can be asked for."""

from dataclasses import dataclass

from generator.errors import DataError

__all__ = ["Shop"]


@dataclass(frozen=True)
class Shop:
    """Options of a simulation; a DataError tells which of them cannot be.

    Attributes
    ----------
    sessions, items, categories, users
        How many; a category holds two items or more.
    days
        Span of the log in days; at most two sessions a user and day.
    conversion
        Share of the sessions that end in a purchase, 0.01 to 0.8. A shop sees a few per cent; the default suits a
        log made to train on.
    seed
        Seed of everything, 0 or more.
    """

    sessions: int = 100_000
    items: int = 500
    categories: int = 20
    users: int = 20_000
    days: int = 30
    conversion: float = 0.35
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("sessions", "items", "categories", "users", "days"):
            if getattr(self, name) < 1:
                raise DataError(f"{name} is {getattr(self, name)}: give 1 or more")
        if self.seed < 0:
            raise DataError(f"seed is {self.seed}: give 0 or more")
        if self.categories < 2:
            raise DataError("categories is 1: give 2 or more, for what goes with an item is in another category")
        if self.items < 2 * self.categories:
            raise DataError(f"{self.items} items in {self.categories} categories: give 2 items a category or more")
        if self.sessions > 2 * self.users * self.days:
            raise DataError(
                f"{self.sessions} sessions of {self.users} users in {self.days} days: "
                f"give at most {2 * self.users * self.days} sessions (two a user and day), or more users or days"
            )
        if not 0.01 <= self.conversion <= 0.8:
            raise DataError(f"conversion is {self.conversion}: give 0.01 to 0.8")
