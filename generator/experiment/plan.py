"""The plan of the experiments: data, nets, seeds, what to try, read from YAML with every mistake placed."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from generator.errors import DataError, SpecError
from generator.experiment.variants import read_variants
from generator.spec.blobs import MAX_HISTORY, MAX_WINDOW
from generator.spec.findings import Finding, Path, Words, failure
from generator.spec.reading import mapping_of, read_file, validated
from generator.spec.schema import NAME
from generator.spec.source import Document

__all__ = [
    "Accuracy",
    "BatchSize",
    "Convergence",
    "ExperimentPlan",
    "Experiments",
    "Factorisation",
    "History",
    "Nets",
    "SessionSource",
    "Simulated",
    "TopK",
    "load_plan",
]

Form = Literal["taobao", "yoochoose", "session-rec", "retailrocket", "diginetica", "rees46", "recbole", "events"]
Metric = Literal["HR@1", "HR@5", "HR@10", "HR@20", "MRR@20", "NDCG@20"]
Name = Annotated[str, Field(pattern=NAME)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
Window = Annotated[int, Field(ge=1, le=MAX_WINDOW)]
Batch = Annotated[int, Field(ge=1, le=65536)]
Epochs = Annotated[float, Field(gt=0, le=1e6)]
_WAYS = ("test", "test_days", "test_share", "test_users", "folds")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Simulated(_Section):
    """A shop to simulate, as `drn simulate` takes it."""

    sessions: int = Field(100_000, ge=1, le=10**9, description="Sessions.")
    items: int = Field(500, ge=1, le=10**7, description="Products.")
    categories: int = Field(20, ge=1, le=10**6, description="Categories of products.")
    users: int = Field(20_000, ge=1, le=10**9, description="Users.")
    days: int = Field(30, ge=1, le=10**5, description="Days the log spans.")
    conversion: float = Field(0.35, gt=0, le=1, description="Share of sessions that buy.")
    seed: int = Field(1, ge=0, le=2**31 - 1, description="Of everything.")


class SessionSource(_Section):
    """Where the sessions come from: one of folder, simulate and log; the rest as `drn sessions` takes it."""

    folder: str | None = Field(None, description="A folder of drn sessions.")
    simulate: Simulated | None = Field(None, description="A shop to simulate.")
    log: list[str] = Field([], max_length=1000, description="Files of an event log.")
    format: Form = Field("events", description="Format of the log.")
    columns: dict[str, str] = Field(
        {}, description="For format events: role to column.", examples=["{time: ts, page: url}"]
    )
    gap: float | None = Field(None, gt=0, le=1e9, description="Minutes of silence that end a session.")
    test: list[str] = Field([], max_length=1000, description="Files whose sessions are the test part.")
    test_days: float | None = Field(None, gt=0, le=1e6, description="Test on the sessions of the last days.")
    test_share: float | None = Field(None, gt=0, lt=1, description="Test on the newest share of the sessions.")
    test_users: float | None = Field(None, gt=0, lt=1, description="Test on the sessions of a share of the users.")
    folds: int | None = Field(None, ge=2, le=100, description="Test on every part of the users in turn, pooled.")
    min_support: int = Field(1, ge=1, le=10**9, description="Views a page needs in the training part to have an id.")
    vocabulary: Literal["train", "all"] = Field(
        "train", description="Which pages and items have an id: those of the training part, or all of the log."
    )
    max_bad: float = Field(0.001, ge=0, le=1, description="Share of a file's rows that may be malformed.")
    seed: int = Field(1, ge=0, le=2**31 - 1, description="Of the division.")


class Accuracy(_Section):
    """All methods in one table, and how far one is ahead of the others."""

    subject: str | None = Field(None, description="The variant that is compared with all others; else the last.")


class Factorisation(_Section):
    """The nets beside matrix factorisation."""

    baseline: str = Field("als", description="The baseline of the comparison.")
    variants: list[Name] = Field([], max_length=100, description="Variants to compare; else all.")


class Nets(_Section):
    """Nets in the order of the claim, the weakest first."""

    variants: list[Name] = Field(["fnn", "rnn", "combined"], min_length=2, max_length=100, description="Variants.")


class TopK(_Section):
    """Hit rate for every K from 1 to 20."""

    variants: list[Name] = Field([], max_length=100, description="Variants to draw; else all.")


class History(_Section):
    """The history state on and off, by the length of the window."""

    variant: str | None = Field(None, description="The variant whose window is changed; else the last.")
    windows: list[Window] = Field([1, 2, 4, 8], min_length=2, max_length=100, description="Windows, rising.")
    states: int = Field(16, ge=1, le=MAX_HISTORY, description="States of the history where it is on.")


class BatchSize(_Section):
    """Batch sizes at an equal number of sessions seen."""

    variant: str | None = Field(None, description="The variant whose batches are changed; else the last.")
    values: list[Batch] = Field([16, 64, 256], min_length=2, max_length=100, description="Sessions in a batch, rising.")
    tolerance: float = Field(0.01, ge=0, le=1, description="The loss of the metric that still counts as little.")


class Convergence(_Section):
    """Loss and accuracy in the course of the training."""

    variants: list[Name] = Field([], max_length=100, description="Variants to follow; else all.")
    epochs: list[Epochs] = Field(
        [0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0],
        max_length=1000,
        description="Epochs after which the test part is ranked, rising; the end of the training always is.",
    )
    share: float = Field(0.95, gt=0, le=1, description="Share of the final metric that counts as converged.")
    few: float = Field(5.0, gt=0, le=1e6, description="What counts as a few epochs.")


class Experiments(_Section):
    """What to try; an experiment that is left out is not run."""

    accuracy: Accuracy | None = Field(None, description="All methods in one table.")
    als: Factorisation | None = Field(None, description="The nets beside matrix factorisation.")
    nets: Nets | None = Field(None, description="Feed-forward, recurrent and combined net.")
    top_k: TopK | None = Field(None, description="Hit rate over K.")
    history: History | None = Field(None, description="History state on and off by window.")
    batch_size: BatchSize | None = Field(None, description="Batch sizes.")
    convergence: Convergence | None = Field(None, description="Loss and accuracy over the training.")


class ExperimentPlan(_Section):
    """One plan of experiments.

    Attributes
    ----------
    specs : dict of str to Spec
        The variants, complete; `load_plan` fills them in from base, spec and variants.
    folder : Path
        The folder of the plan's file, where its relative paths begin.
    """

    title: str = Field("", max_length=200, description="Heading of the report.")
    data: SessionSource = Field(description="Where the sessions come from.")
    seeds: list[Seed] = Field([1, 2, 3], min_length=1, max_length=1000, description="Each net is trained once by each.")
    metric: Metric = Field("MRR@20", description="What the claims are judged by.")
    baselines: list[str] = Field([], max_length=100, description="Baselines beside the nets.")
    experiments: Experiments = Field(description="What to try.")
    specs: SkipJsonSchema[dict[str, Any]] = Field({}, exclude=True)
    folder: SkipJsonSchema[Any] = Field(FilePath(), exclude=True)

    @property
    def names(self) -> list[str]:
        """The experiments of the plan, in the order of the report."""
        return [name for name in Experiments.model_fields if getattr(self.experiments, name) is not None]

    def variants(self, chosen: Sequence[str] = ()) -> list[str]:
        """Return the variants ``chosen``; all of them where none is."""
        return list(chosen) or list(self.specs)

    def variant(self, chosen: str | None) -> str:
        """Return the variant ``chosen``; the last where none is."""
        return chosen or list(self.specs)[-1]

    def only(self, names: Sequence[str]) -> "ExperimentPlan":
        """Return the plan with the experiments ``names`` alone; with none named, the whole.

        Raises
        ------
        SpecError
            The plan has no experiment of that name.
        """
        for name in names:
            if name not in self.names:
                raise SpecError(f"the plan has no experiment {name}: it has {', '.join(self.names)}")
        left = {name: None for name in self.names if names and name not in names}
        return self.model_copy(update={"experiments": self.experiments.model_copy(update=left)})


def load_plan(path: str | os.PathLike[str]) -> ExperimentPlan:
    """Read the plan file at ``path`` (YAML in UTF-8).

    Raises
    ------
    SpecError
        The file, its base or one of its variants does not hold; one line a finding, with line and column.
    """
    document = read_file(path, "plan")
    plain = dict(mapping_of(document, "plan"))
    folder = FilePath(path).parent
    specs = read_variants(document, folder, plain)
    for hidden in {"specs", "folder"} & plain.keys():
        del plain[hidden]
        document.findings.append(Finding(document.keys[hidden,], (hidden,), Words("unknown key")))
    if isinstance(tried := plain.get("experiments"), dict):
        # `als:` alone is the experiment with its defaults.
        plain["experiments"] = {name: {} if value is None else value for name, value in tried.items()}
    plan = validated(document, ExperimentPlan, plain)
    if plan is not None:
        plan = plan.model_copy(update={"specs": specs, "folder": folder})
        _rules(document, plan)
    if document.findings or plan is None:
        raise failure(document.findings)
    return plan


def _rules(document: Document, plan: ExperimentPlan) -> None:
    """Check what no single field can."""
    _check_data(document, plan.data)
    for name in sorted(set(plan.specs) & set(plan.baselines)):
        document.find(("variants", name), "a baseline has that name: choose another")
    for index, name in enumerate(plan.baselines):
        _check_baseline(document, ("baselines", index), name)
    if len(set(plan.baselines)) < len(plan.baselines):
        document.find(("baselines",), "each baseline can be given once")
    if len(set(plan.seeds)) < len(plan.seeds):
        document.find(("seeds",), "each seed can be given once")
    if not plan.names:
        document.find(("experiments",), f"none is given: one of {', '.join(Experiments.model_fields)} at least")
    tried = plan.experiments
    if tried.als:
        _check_baseline(document, ("experiments", "als", "baseline"), tried.als.baseline)
    for path, values in _risings(tried):
        if sorted(set(values)) != list(values):
            document.find(path, f"{list(values)}: rising numbers are wanted")
    if plan.specs:
        _check_variants(document, plan)


def _risings(tried: Experiments) -> Iterator[tuple[Path, Sequence[float]]]:
    if tried.history:
        yield ("experiments", "history", "windows"), tried.history.windows
    if tried.batch_size:
        yield ("experiments", "batch_size", "values"), tried.batch_size.values
    if tried.convergence:
        yield ("experiments", "convergence", "epochs"), tried.convergence.epochs


def _check_data(document: Document, data: SessionSource) -> None:
    given = [name for name in ("folder", "simulate", "log") if getattr(data, name)]
    if len(given) != 1:
        seen = " and ".join(given) or "none of them"
        document.find(("data",), f"{seen} given: one of folder, simulate and log is wanted")
        return
    if given == ["folder"] and (others := sorted(data.model_fields_set - {"folder"})):
        document.find(("data", others[0]), "it does not go with folder, which drn sessions has divided already")
    if given == ["simulate"]:
        for name in sorted(data.model_fields_set & {"format", "columns", "gap", "test", "max_bad"}):
            document.find(("data", name), "it does not go with simulate")
    if data.vocabulary == "all" and data.min_support > 1:
        document.find(("data", "min_support"), "it does not go with vocabulary all, which gives every page an id")
    ways = [name for name in _WAYS if getattr(data, name)]
    if len(ways) > 1:
        document.find(("data", ways[1]), f"{' and '.join(ways)} exclude each other: choose the test part in one way")


def _check_baseline(document: Document, path: Path, name: str) -> None:
    from generator.evaluation.baselines import choose

    try:
        if len(choose([name])) != 1:
            raise DataError(f"{name!r} names several: name one")
    except DataError as error:
        document.find(path, str(error))


def _check_variants(document: Document, plan: ExperimentPlan) -> None:
    tried = plan.experiments
    for path, names in _named(tried):
        for index, name in enumerate(names):
            if name not in plan.specs:
                where = (*path, index) if (*path, index) in document.places else path
                document.find(where, f"there is no variant {name}: choose of {', '.join(plan.specs)}")
        if len(set(names)) < len(names):
            document.find(path, "each variant can be given once")
    changed = plan.specs.get(plan.variant(tried.history.variant)) if tried.history else None
    if changed is not None and not changed.has_rnn:
        message = "net fnn reads no session, so it has neither window nor history"
        document.find(("experiments", "history", "variant"), message)
    first = next(iter(plan.specs.values()))
    for name, spec in plan.specs.items():
        if spec.data != first.data:
            document.find(("variants", name), "its section data differs from the first variant's: all read one data")


def _named(tried: Experiments) -> Iterator[tuple[Path, list[str]]]:
    """Yield the paths at which variants are named, and the names."""
    for name in Experiments.model_fields:
        section = getattr(tried, name)
        for field in ("variants", "variant", "subject"):
            if value := getattr(section, field, None):
                yield ("experiments", name, field), [value] if isinstance(value, str) else value
