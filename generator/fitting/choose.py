"""The nets to try on a log: what its recipe says, in the sizes that its figures ask for, each field with its reason."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from generator.errors import DataError
from generator.fitting.facts import Facts
from generator.fitting.look import Look
from generator.fitting.recipes import Recipe, WindowRule, recipe_for
from generator.spec import parse_spec
from generator.spec.overlay import laid_over
from generator.spec.schema import Spec

__all__ = ["PAGES", "Candidate", "Target", "candidates_for", "choose_target", "rows_of_training", "with_iterations"]

NEW, SLOTS = 0.05, 16  # share of the labels that training does not know from which on there are slots, and how many
ENOUGH = 300  # purchases from which on they are what is recommended
RARE = 0.5  # different items a purchase from which on categories say more, if there are fewer of them
PAGES = WindowRule(quantile=0.99, least=16, most=96)  # of a session, that the mixture looks at
SNAPSHOTS, TESTS, LINES = 6, 6, 30  # of a training: how often the net is saved, tested, and its loss written


@dataclass(frozen=True)
class Target:
    """What is recommended, and at which level; with the reason for each."""

    target: Literal["purchase", "next"]
    level: Literal["item", "category"]
    reasons: Mapping[str, str]


@dataclass(frozen=True)
class Candidate:
    """A net to try: its name among the candidates, its spec, and why, by field."""

    name: str
    spec: Spec
    reasons: Mapping[str, str]


def choose_target(look: Look, wanted: str | None, level: str | None) -> Target:
    """Return what is recommended on a log: what is ``wanted``, else what there is enough of.

    Raises
    ------
    DataError
        Purchases are wanted and there are none.
    """
    purchases, items, categories = look.bought
    if wanted == "purchase" and not purchases:
        words = ", ".join(f"{word} ({count:,})" for word, count in look.met.items())
        raise DataError(
            f"the log has no purchase for --target purchase: its events are {words}; if one of them is a purchase, say "
            "so, as in --events buy=WORD"
        )
    target: Literal["purchase", "next"] = "purchase" if purchases >= ENOUGH else "next"
    why = f"{purchases:,} purchases" + ("" if purchases >= ENOUGH else f", fewer than {ENOUGH}")
    if wanted:
        target, why = ("purchase", "as asked for") if wanted == "purchase" else ("next", "as asked for")
    reasons = {"data.target": f"{why}; --target overrules it"}
    found: Literal["item", "category"] = "item"
    if level:
        found = "category" if level == "category" else "item"
        reasons["data.page"] = "as asked for"
    elif target == "purchase" and purchases and items / purchases > RARE > categories / purchases > 0:
        found = "category"
        reasons["data.page"] = (
            f"{purchases:,} purchases are of {items:,} items, too many to learn, and {categories:,} categories; "
            "--level item overrules it"
        )
    return Target(target, found, reasons)


def candidates_for(facts: Facts, target: Target, name: str, overrides: Sequence[str], seed: int) -> list[Candidate]:
    """Return the nets to try, the usual one first.

    Parameters
    ----------
    facts, target
        Of the log.
    name
        Of the model.
    overrides
        Fields of the spec as ``rnn.window=8``, over all that is chosen.
    seed
        The solver's random_seed.

    Raises
    ------
    DataError
        An override asks for an ensemble.
    SpecError
        An override does not hold.
    """
    recipe_name, recipe = recipe_for(facts)
    fixed, reasons = _sizes(facts, recipe)
    fixed |= {"name": name, "data": {"target": facts.target, "page": target.level, "item": target.level}}
    reasons = {**recipe.reasons, **reasons, **target.reasons, "net": f"recipe {recipe_name}: {recipe.about}"}
    found: list[Candidate] = []
    for each, variant in recipe.candidates.items():
        epochs = recipe.epochs if variant.epochs is None else variant.epochs
        values = laid_over(laid_over(fixed, recipe.spec), variant.spec)
        values = laid_over(values, {"rnn": {"window": fixed["rnn"]["window"], "history": fixed["rnn"]["history"]}})
        if values["net"] == "rnn":
            values.pop("fnn", None)
        else:
            values["fnn"] = {"bought": recipe.bought, **values.get("fnn", {})}
        spec = _parsed(values, overrides)
        most = max(1, math.ceil(epochs * rows_of_training(facts, spec) / spec.solver.batch_size))
        values = laid_over(values, {"solver": {**_intervals(most), "random_seed": seed}})
        spec = _parsed(values, overrides)
        if spec.ensemble > 1:
            raise DataError(
                f"--set ensemble={spec.ensemble}: drn fit trains one net; leave it out, and train an ensemble of "
                f"the net it chose: drn train OUT/spec.yaml --data OUT/data --set ensemble={spec.ensemble} -o ANOTHER"
            )
        why = f"{epochs:g} passes over {rows_of_training(facts, spec):,} rows"
        if not epochs:
            why = "one batch: no net that was tried did better than the mixture alone, which leans on the rules"
        if not any(spec == other.spec for other in found):
            found.append(Candidate(each, spec, {**reasons, "solver.max_iter": why}))
    return found


def with_iterations(spec: Spec, most: int) -> Spec:
    """Return ``spec`` trained for ``most`` iterations, saved and tested as often as before."""
    return spec.model_copy(update={"solver": spec.solver.model_copy(update=_intervals(most))})


def _intervals(most: int) -> dict[str, int]:
    """Return the fields of the solver that follow from its iterations."""
    return {
        "max_iter": most,
        "snapshot": max(1, math.ceil(most / SNAPSHOTS)),
        "test_interval": max(1, math.ceil(most / TESTS)),
        "display": max(1, math.ceil(most / LINES)),
    }


def rows_of_training(facts: Facts, spec: Spec) -> int:
    """Return about how many rows of training the log gives a net of ``spec``."""
    if facts.target == "purchase":
        return facts.sessions
    if not spec.every:
        return facts.labels
    return sum(count * -(-views // spec.window) for views, count in enumerate(facts.lengths))


def _sizes(facts: Facts, recipe: Recipe) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the sizes of a net, and why."""
    window, reach = recipe.window.of(facts), facts.quantile(recipe.window.quantile)
    longer = sum(facts.lengths[window:])
    history = recipe.history if longer else 0
    sizes: dict[str, Any] = {
        "pages": facts.items,
        "items": facts.items,
        "rnn": {"window": window, "history": history},
        "head": {"mix": {"pages": PAGES.of(facts)}},
    }
    what = "categories" if facts.level == "category" else "items"
    reasons = {
        "pages": f"different {what} in training",
        "rnn.window": f"{recipe.window.quantile:.0%} of the sessions have at most {reach} views; "
        f"{recipe.window.least} to {recipe.window.most} does well",
    }
    if facts.new >= NEW:
        sizes["head"]["slots"] = SLOTS
        reasons["head.slots"] = (
            f"{facts.new:.0%} of the labels are new: so many pages of a session that training never saw"
        )
    if history:
        reasons["rnn.history"] = f"{longer / sum(facts.lengths):.0%} of the sessions are longer than the window"
    return sizes, reasons


def _parsed(values: dict[str, Any], overrides: Sequence[str]) -> Spec:
    return parse_spec(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), "the chosen spec", overrides)
