"""Recipes: what is known to work on logs of a kind, as data in arch_specs/recipes."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from generator.files import resource
from generator.spec.findings import failure
from generator.spec.reading import mapping_of, read_file, validated

if TYPE_CHECKING:
    from generator.fitting.facts import Facts

__all__ = ["Range", "Recipe", "Variant", "When", "WindowRule", "load_recipe", "recipe_for", "recipes"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Range(_Section):
    """Bounds of a number; those absent do not bound it."""

    least: float | None = Field(None, description="The least that is within.")
    below: float | None = Field(None, description="The first that is beyond.")

    def holds(self, value: float) -> bool:
        """Return whether ``value`` is within."""
        return (self.least is None or value >= self.least) and (self.below is None or value < self.below)


class When(_Section):
    """The logs that a recipe is for."""

    target: Literal["purchase", "next"] = Field(description="What is recommended.")
    items: Range = Field(Range(), description="Different items.")
    rows_per_item: Range = Field(Range(), description="Labels to train on for each item.")


class WindowRule(_Section):
    """How a number of states follows from the lengths of sessions."""

    quantile: float = Field(gt=0, le=1, description="Share of the sessions that are to fit into it...")
    least: int = Field(ge=1, description="...but no less states")
    most: int = Field(le=256, description="and no more.")

    def of(self, facts: "Facts") -> int:
        """Return the states of a log."""
        return min(max(facts.quantile(self.quantile), self.least), self.most)


class Variant(_Section):
    """A net to try."""

    epochs: float | None = Field(
        None, ge=0, description="Passes over the rows of training, if other than the recipe's; 0: one batch."
    )
    spec: dict[str, Any] = Field({}, description="Fields over those of the recipe's spec.")


class Recipe(_Section):
    """What to try on logs of a kind."""

    about: str = Field(description="What it is for, in a line.")
    when: When = Field(description="The logs it is for.")
    epochs: float = Field(gt=0, description="Passes over the rows of training.")
    window: WindowRule = Field(description="The window, by the lengths of sessions.")
    history: int = Field(0, ge=0, description="States of the history, where sessions are longer than the window.")
    bought: int = Field(16, ge=1, description="Earlier purchases that a net with fnn reads.")
    spec: dict[str, Any] = Field(description="Fields of the spec; names, sizes and iterations follow from the log.")
    candidates: dict[str, Variant] = Field(min_length=1, description="What is tried, by name, the usual first.")
    reasons: dict[str, str] = Field({}, description="Why, by field of the spec.")
    tune: dict[str, Any] = Field(min_length=1, description="What `drn tune` may change, genes by field.")


def load_recipe(path: Path) -> Recipe:
    """Read a recipe; SpecError, with line and column, where it does not hold."""
    document = read_file(path, "recipe")
    recipe = validated(document, Recipe, dict(mapping_of(document, "recipe")))
    if document.findings or recipe is None:
        raise failure(document.findings)
    return recipe


def recipes() -> dict[str, Recipe]:
    """Return the recipes that drn comes with, by name."""
    return {path.stem: load_recipe(path) for path in sorted((resource("arch_specs") / "recipes").glob("*.yaml"))}


def recipe_for(facts: "Facts") -> tuple[str, Recipe]:
    """Return the recipe for a log of these facts, and its name; there is one for each log."""
    found = [
        (name, recipe)
        for name, recipe in recipes().items()
        if recipe.when.target == facts.target
        and recipe.when.items.holds(facts.items)
        and recipe.when.rows_per_item.holds(facts.labels / max(facts.items, 1))
    ]
    return found[0]
