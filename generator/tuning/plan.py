"""The tuning plan: search space, training, budget and objectives, read from YAML with every mistake placed."""

import os
from pathlib import Path as FilePath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from generator.errors import SpecError
from generator.spec import load_spec
from generator.spec.findings import Path, Place, failure
from generator.spec.overlay import laid_over
from generator.spec.reading import mapping_of, read_file, validated
from generator.spec.source import Document
from generator.tuning.genes import Gene
from generator.tuning.halving import shares
from generator.tuning.names import SamplerName
from generator.tuning.parse_genes import parse_gene
from generator.tuning.space import Space, flaws

__all__ = [
    "COSTS",
    "Budget",
    "Confirm",
    "EarlyStopping",
    "Genetic",
    "Halving",
    "IndividualTraining",
    "Objective",
    "TuningPlan",
    "load_plan",
]

Objective = Literal["HR@1", "HR@5", "HR@10", "HR@20", "MRR@20", "NDCG@20", "size", "latency"]
COSTS = ("size", "latency")  # less is better; of every other objective, more

# Fields that are no genes, and why.
_NO_GENES = {
    "name": "the name of the model is no hyperparameter",
    "pages": "the data fix the vocabulary",
    "items": "the data fix the vocabulary",
    "ensemble": "an individual is one net; set it in the best spec, which is trained once more",
    "data": "the data fix what pages and labels are",
    "solver.random_seed": "the seed of an individual follows from the run's seed and its genes",
    "solver.display": "it does not change the net",
    "solver.snapshot": "it does not change the net",
    "solver.test_iter": "it does not change the net",
    "solver.test_interval": "it does not change the net",
}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class EarlyStopping(_Section):
    """Successive halving: the hopeless of a generation are not trained to the end."""

    after: list[float] = Field(min_length=1, max_length=8, description="Shares of the training to look at, rising.")
    keep: float = Field(0.5, gt=0, le=1, description="Share of the individuals that goes on each time, at least.")


class Halving(_Section):
    """Successive halving with promotion: of all at a rung a share is trained on, the best of them, now or later."""

    factor: int = Field(3, ge=2, le=10, description="Of as many at a rung one goes on, for as many times as long.")
    rungs: int = Field(3, ge=1, le=8, description="Rungs, the last being the whole training; 1: no halving.")


class IndividualTraining(_Section):
    """How long an individual is trained."""

    epochs: float | None = Field(
        None, gt=0, le=10_000, description="Passes over the training rows; else the length each spec's solver gives."
    )
    early_stopping: EarlyStopping | None = Field(None, description="When to give an individual up.")
    halving: Halving | None = Field(
        None, description="Whether all of a run compete at each rung, instead; the sampler surrogate does so by itself."
    )
    timeout: float = Field(
        3600.0, gt=0, le=1e7, description="Seconds after which a worker that does not answer counts as hung."
    )


class Budget(_Section):
    """When to stop; whichever comes first."""

    trainings: int | None = Field(None, ge=1, le=10**9, description="Individuals trained.")
    epochs: float | None = Field(None, gt=0, le=1e12, description="Passes over the training rows, of all together.")
    minutes: float | None = Field(None, gt=0, le=1e9, description="Wall time after which no generation is begun.")


class Genetic(_Section):
    """The genetic algorithm, NSGA-II (Deb et al. 2002)."""

    population: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="Individuals of a generation, for every sampler; else 4 of surrogate, 10 of the others.",
    )
    crossover: Literal["uniform", "blxalpha", "sbx", "vsbx", "spx", "undx"] = Field(
        "blxalpha", description="How the numbers of two or three parents are merged; choices are exchanged."
    )
    crossover_rate: float = Field(0.9, ge=0, le=1, description="Share of the children that have more than one parent.")
    mutation: Literal["redraw", "polynomial"] = Field("redraw", description="How a gene mutates.")
    mutation_rate: float | None = Field(None, ge=0, le=1, description="Share of the genes that mutate; else one gene.")


class Confirm(_Section):
    """The best of the search are trained again on other seeds, and the best on those is the best of the run."""

    best: int = Field(5, ge=1, le=100, description="Individuals trained again.")
    seeds: int = Field(3, ge=1, le=100, description="Other seeds, of each.")


class TuningPlan(_Section):
    """One tuning plan: the whole of what `drn tune` needs beside the data."""

    base: str | None = Field(None, description="Spec file of the fixed part, relative to the plan.")
    spec: dict[str, Any] = Field({}, description="Fields of the fixed part, over those of base.")
    search: dict[str, Any] = Field({}, description="Genes by the field of the spec they are of.")
    objectives: list[Objective] = Field(
        ["MRR@20"], min_length=1, max_length=3, description="What to optimise, the first an accuracy."
    )
    training: IndividualTraining = Field(IndividualTraining(), description="How long an individual is trained.")
    budget: Budget = Field(description="When to stop.")
    sampler: SamplerName = Field("surrogate", description="What draws the individuals.")
    start: list[dict[str, Any]] = Field(
        [],
        max_length=1000,
        description="Individuals to begin with: genes, or spec files that have them, relative to the plan; what is "
        "left out or beyond search is drawn. The surrogate begins with the fixed part's own anyway.",
    )
    confirm: Confirm | None = Field(
        Confirm(), description="What is trained again before one is the best; null: nothing. It is beyond the budget."
    )
    genetic: Genetic = Field(Genetic(), description="The genetic algorithm.")
    seed: int = Field(1, ge=0, le=2**31 - 1, description="Seed of the run.")

    @property
    def space(self) -> Space:
        """The search space: the parsed genes over the fixed part."""
        return Space(self.spec, self.search)

    @property
    def rungs(self) -> tuple[float, ...]:
        """Shares of the training at which individuals are ranked, the last 1."""
        if self.halving:
            return shares(self.halving.factor, self.halving.rungs)
        stopping = self.training.early_stopping
        return (*(stopping.after if stopping else ()), 1.0)

    @property
    def halving(self) -> Halving | None:
        """How individuals are promoted from rung to rung; None: not at all."""
        training = self.training
        alone = self.sampler == "surrogate" and not training.early_stopping
        return training.halving or (Halving() if alone else None)

    @property
    def population(self) -> int:
        """Individuals of a generation; the surrogate gains by looking often at what it has learned."""
        return self.genetic.population or (4 if self.sampler == "surrogate" else 10)

    def changed(self, **fields: Any) -> "TuningPlan":
        """Return the plan with other top-level ``fields``; those that are None stay."""
        given = {name: value for name, value in fields.items() if value is not None}
        changed = self.model_copy(update=given)
        _check_population(changed)
        return changed


def load_plan(path: str | os.PathLike[str]) -> TuningPlan:
    """Read the plan file at ``path`` (YAML in UTF-8); its `spec` and `search` come out complete and parsed.

    Raises
    ------
    SpecError
        The file, its base or a spec of its search space does not hold; one line a finding, with line and column.
    """
    document = read_file(path, "plan")
    values = dict(mapping_of(document, "plan"))
    fixed = _fixed(document, values, FilePath(path).parent)
    genes = _genes(document, values)
    _resolve_start(document, values, genes, FilePath(path).parent)
    plan = validated(document, TuningPlan, values)
    if plan is not None:
        _rules(document, plan)
    if document.findings or plan is None:
        raise failure(document.findings)
    plan = plan.model_copy(update={"spec": fixed, "search": genes})
    _check_space(document, plan)
    _check_population(plan)
    return plan


def _fixed(document: Document, values: dict[str, Any], folder: FilePath) -> dict[str, Any]:
    """Take base and spec out of ``values``; return the fixed part they make."""
    base, inline = values.pop("base", None), values.pop("spec", {})
    fixed: dict[str, Any] = {}
    if base is not None and not isinstance(base, str):
        document.find(("base",), "the path of a spec file is wanted")
    elif base is not None:
        try:
            fixed = load_spec(folder / base).model_dump()
        except SpecError as error:
            for finding in error.findings:
                document.find(("base",), str(finding))
    if not isinstance(inline, dict):
        document.find(("spec",), "a section is wanted: fields of a spec")
        return fixed
    if base is None and not inline:
        document.find((), "no fixed part", "give base (a spec file), spec or both")
    fixed = laid_over(fixed, inline)
    if fixed.get("ensemble", 1) != 1:
        path: Path = ("spec", "ensemble") if "ensemble" in inline else ("base",)
        document.find(path, f"ensemble: {fixed['ensemble']}, but {_NO_GENES['ensemble']}")
    return fixed


def _genes(document: Document, values: dict[str, Any]) -> dict[str, Gene]:
    """Take the genes out of ``values`` and parse them."""
    search = values.pop("search", None)
    if search is not None and not isinstance(search, dict):
        document.find(("search",), "a section is wanted: genes by field, as in rnn.window: {int: [1, 8]}")
        return {}
    if not search:
        if not document.findings:
            document.find(("search",), "the search space is empty: name a field and what it may be, as in "
                                         "rnn.window: {int: [1, 8]}")  # fmt: skip
        return {}
    genes: dict[str, Gene] = {}
    by_iterations = _epochs(values) is None
    for name, value in search.items():
        reason = next((why for field, why in _NO_GENES.items() if name == field or name.startswith(f"{field}.")), None)
        if name in ("solver.max_iter", "solver.epochs") and not by_iterations:
            reason = "training.epochs says how long an individual is trained"
        around = next((other for other in search if name.startswith(f"{other}.")), None)
        if reason or around:
            document.find(("search", name), f"no gene: {reason or f'it lies inside the gene {around}'}")
            continue
        gene = parse_gene(document, ("search", name), value)
        if gene is not None:
            genes[name] = gene
    return genes


def _resolve_start(document: Document, values: dict[str, Any], genes: dict[str, Gene], folder: FilePath) -> None:
    """Put the genes that a spec file has in its place; refuse names that no gene has."""
    if not isinstance(values.get("start"), list):
        return
    values["start"] = list(values["start"])
    for index, given in enumerate(values["start"]):
        path = ("start", index)
        if isinstance(given, str):
            try:
                values["start"][index] = Space({}, genes).genes_of(load_spec(folder / given))
            except SpecError as error:
                values["start"][index] = {}
                for finding in error.findings:
                    document.find(path, str(finding))
        elif isinstance(given, dict):
            for name in given.keys() - genes.keys():
                document.find((*path, name), "no gene of search", f"there are {', '.join(genes)}")


def _epochs(values: dict[str, Any]) -> object:
    training = values.get("training")
    return training.get("epochs") if isinstance(training, dict) else None


def _rules(document: Document, plan: TuningPlan) -> None:
    """Check what no single field can."""
    budget = plan.budget
    if budget.trainings is None and budget.epochs is None and budget.minutes is None:
        document.find(("budget",), "it has no end: give trainings, epochs or minutes")
    if plan.objectives[0] in COSTS:
        document.find(("objectives",), f"the first is {plan.objectives[0]}: begin with an accuracy, as in [MRR@20]")
    if len(set(plan.objectives)) < len(plan.objectives):
        document.find(("objectives",), "each objective can be given once")
    if plan.training.early_stopping and plan.training.halving:
        document.find(("training", "halving"), "early_stopping is given too: leave one of them out")
    after = plan.training.early_stopping.after if plan.training.early_stopping else []
    if any(not 0 < share < 1 for share in after) or sorted(set(after)) != after:
        path = ("training", "early_stopping", "after")
        document.find(path, f"{after}: shares of the training above 0 and below 1 are wanted, rising")


def _check_space(document: Document, plan: TuningPlan) -> None:
    """Refuse a space that holds an invalid spec."""

    def place(path: Path) -> Place:
        return document.place(("spec", *path)) if ("spec",) in document.places else document.place(("base",))

    found = flaws(plan.space, place, lambda gene: document.place(("search", gene)))
    if found:
        raise failure(found)
    if all(each.low == each.high for each in plan.space.parameters().values()):
        document.find(("search",), "the search space holds one spec", "give a gene more than one value")
        raise failure(document.findings)


def _check_population(plan: TuningPlan) -> None:
    """Refuse a generation that is too small for its crossover."""
    genetic = plan.genetic
    parents = 3 if genetic.crossover in ("spx", "undx") else 2
    if plan.sampler == "genetic" and plan.population < parents:
        raise SpecError(
            f"genetic.population: {plan.population} is too small: crossover {genetic.crossover} needs {parents}"
        )
