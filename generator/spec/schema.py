"""The architecture spec: every hyperparameter a user may set, with its bounds."""

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from generator.spec.blobs import MAX_BOUGHT, MAX_HISTORY, MAX_SEEN, MAX_SLOTS, MAX_WINDOW
from generator.spec.rules import MAX_ITER, MAX_WIDTH, broken_rules

__all__ = [
    "NAME",
    "Data",
    "Filler",
    "Fnn",
    "Head",
    "Init",
    "Mix",
    "Multiplier",
    "Multipliers",
    "Rnn",
    "Sampled",
    "Solver",
    "Spec",
    "Undecayed",
    "completed",
    "field_of",
]

NAME = r"^[a-z][a-z0-9_-]{0,63}$"  # of a model, and of the files and folders called by it
_INT32 = 2**31 - 1  # Caffe's counters are int32.
_FLOAT32 = 3.4e38  # Caffe's and ONNX's numbers are float32.
_NEXT_SEED = 2**20  # between the nets of an ensemble: specs of nearby seeds share no net

Width = Annotated[int, Field(ge=1, le=MAX_WIDTH)]
# Caffe keeps ids in float blobs: whole numbers are exact up to 2**24.
Vocabulary = Annotated[int, Field(ge=1, le=2**24 - 1)]
Count = Annotated[int, Field(ge=1, le=_INT32)]
Number = Annotated[float, Field(ge=-_FLOAT32, le=_FLOAT32)]
NotNegative = Annotated[float, Field(ge=0, le=_FLOAT32)]
Positive = Annotated[float, Field(gt=0, le=_FLOAT32)]


class _Section(BaseModel):
    """A part of the spec: immutable, strict about types, closed to unknown keys.

    Building is deferred, and defaults are constructed unvalidated, so that only ``Spec`` is compiled, on its first
    use: a quarter of the time of compiling every section by itself.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True)


class Rnn(_Section):
    """The recurrent net over the last pages of the session."""

    window: int = Field(ge=1, le=MAX_WINDOW, description="States kept, n: the last page visits of the session.")
    widths: list[Width] = Field(min_length=1, max_length=32, description="Width of each hidden layer, bottom first.")
    layers: int | None = Field(None, ge=1, le=32, description="Number of hidden layers, L; checked against widths.")
    history: int = Field(
        0, ge=0, le=MAX_HISTORY, description="Older states collapsed into the history state, H; 0 switches it off."
    )


class Fnn(_Section):
    """The feed-forward net over the user's earlier purchases."""

    bought: int = Field(ge=1, le=MAX_BOUGHT, description="Earlier purchases kept, K, the newest.")
    widths: list[Width] = Field(min_length=1, max_length=32, description="Width of each hidden layer, bottom first.")
    layers: int | None = Field(None, ge=1, le=32, description="Number of hidden layers; checked against widths.")


class Mix(_Section):
    """Probabilities mixed with the net's: of the pages seen, of what followed them in training, of what is popular."""

    pages: int = Field(16, ge=1, le=MAX_SEEN, description="Newest pages of the session that count as seen, S.")
    newest: int = Field(3, ge=1, le=16, description="Newest pages whose followers count.")
    followers: int = Field(
        30, ge=1, le=1000, description="Followers kept of each page, and popular items of none, the most frequent."
    )
    decay: Positive = Field(1.5, description="A follower d pages after the page counts d ** -decay.")
    viewed: float = Field(
        0.03, ge=0, le=1, description="Where purchases are the labels, what an item that was only viewed counts."
    )
    aging: Positive | None = Field(
        None, description="Days in which a follower's count halves; null: counts do not age, nor without times."
    )
    trend: Positive | None = Field(
        1.0, description="Days in which the popularity of an item halves; null: of all times alike."
    )


class Head(_Section):
    """What the output reads of the recurrent net, and what is mixed with it; all off gives the paper's net."""

    tied: bool = Field(False, description="The output's table is page_embedding: pages and items share one vocabulary.")
    projection: bool = Field(False, description="A matrix before the output's table; it starts as the identity.")
    skip: bool = Field(False, description="The page of the state itself, through a matrix that starts at 0.")
    dropout: float = Field(
        0.0, ge=0, le=0.95, description="Share dropped, in training, of each visit and of what the output reads."
    )
    mix: Mix | None = Field(None, description="Probabilities mixed with the net's, fitted once it is trained.")
    slots: int = Field(
        0,
        ge=0,
        le=MAX_SLOTS,
        description="Pages of a session that training never saw, each of which can be recommended.",
    )


class Filler(_Section):
    """How a parameter starts: one of Caffe's fillers."""

    type: Literal["constant", "gaussian", "uniform", "xavier", "msra"] = Field(description="Caffe's filler type.")
    value: Number = Field(0.0, description="constant: the value.")
    mean: Number = Field(0.0, description="gaussian: the mean.")
    std: NotNegative = Field(0.01, description="gaussian: the standard deviation.")
    min: Number = Field(-0.1, description="uniform: the lower end.")
    max: Number = Field(0.1, description="uniform: the upper end.")


class Init(_Section):
    """Fillers by kind of parameter."""

    table: Filler = Field(Filler.model_construct(type="gaussian", std=0.1), description="Embedding tables.")
    weight: Filler = Field(Filler.model_construct(type="xavier"), description="Weights of hidden and output layers.")
    bias: Filler = Field(Filler.model_construct(type="constant"), description="Biases.")
    recurrent: NotNegative | None = Field(
        None, description="Recurrent weights start as this number times the identity, in place of `weight`."
    )
    popularity: bool = Field(
        False, description="The output's bias starts at the logarithm of how often training has each label, plus 1."
    )


class Multiplier(_Section):
    """Factors on the solver's learning rate and weight decay."""

    lr: NotNegative = Field(1.0, description="Factor on base_lr (Caffe's lr_mult).")
    decay: NotNegative = Field(1.0, description="Factor on weight_decay (Caffe's decay_mult).")


class Undecayed(Multiplier):
    """Factors on the solver's learning rate and weight decay, where decay is off unless asked for."""

    decay: NotNegative = Field(0.0, description="Factor on weight_decay (Caffe's decay_mult).")


class Multipliers(_Section):
    """Multipliers by kind of parameter."""

    table: Undecayed = Field(
        Undecayed.model_construct(), description="Embedding tables; decay other than 0 makes updates dense."
    )
    weight: Multiplier = Field(Multiplier.model_construct(), description="Weights of hidden and output layers.")
    bias: Undecayed = Field(Undecayed.model_construct(), description="Biases.")


class Sampled(_Section):
    """Sampled softmax: a batch's loss over its labels and items drawn by popularity; drn's own, Caffe has none."""

    negatives: int = Field(
        ge=1, le=2**20, description="Items drawn for a batch, with replacement, which all its rows share."
    )
    alpha: float = Field(
        0.75, ge=0, le=1, description="An item is drawn by its purchases, and one more, to this power; 0: all alike."
    )


class Solver(_Section):
    """Training: Caffe's solver parameters under Caffe's names."""

    type: Literal["SGD", "Nesterov", "AdaGrad", "Adam"] = Field("SGD", description="Update rule.")
    batch_size: int = Field(64, ge=1, le=65536, description="Sessions in a batch, B.")
    base_lr: Positive = Field(0.1, description="Learning rate at the start.")
    lr_policy: Literal["fixed", "step", "exp", "inv", "poly", "sigmoid", "multistep"] = Field(
        "fixed",
        description="How the learning rate changes: sigmoid rises to base_lr, the others fall where gamma is under 1.",
    )
    gamma: NotNegative = Field(
        0.1, description="step, exp, multistep: the factor, above 1 the rate rises; inv, sigmoid: the slope."
    )
    power: Number = Field(1.0, description="inv, poly: the exponent.")
    stepsize: Count = Field(1000, description="step: iterations a step; sigmoid: the iteration of half of base_lr.")
    stepvalue: list[Count] = Field(
        [], max_length=1000, description="multistep: the iterations at which the rate changes, increasing."
    )
    warmup: int = Field(
        0, ge=0, le=_INT32, description="Iterations in which the rate rises to lr_policy's; drn's own, Caffe has none."
    )
    recency: Positive | None = Field(
        None, description="Days in which the chance of a session to be drawn halves; drn's own, Caffe draws all alike."
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum; Adam's beta1; AdaGrad has none.")
    momentum2: float = Field(0.999, ge=0, lt=1, description="Adam's beta2.")
    delta: Positive = Field(1e-8, description="AdaGrad, Adam: the stabiliser under the fraction.")
    lazy: Literal[False, True, "momentum"] = Field(
        False,
        description="Adam: rows of tables without a gradient stay as they are, as in PyTorch's SparseAdam (true), or "
        "their momentum moves them when they are next read (momentum); drn's own, Caffe's moves all at every update.",
    )
    weight_decay: NotNegative = Field(0.0, description="L2 weight decay.")
    clip_gradients: Positive | None = Field(
        None, description="Bound on the L2 norm of all gradients together, the sum over iter_size batches."
    )
    iter_size: int = Field(1, ge=1, le=4096, description="Batches accumulated for one update.")
    max_iter: Count = Field(MAX_ITER, description="Iterations to train.")
    epochs: float | None = Field(
        None,
        gt=0,
        le=10_000,
        description="In place of max_iter: passes over the training rows, which `drn train` turns into iterations.",
    )
    display: Count = Field(100, description="Iterations between lines of metrics.")
    snapshot: Count = Field(1000, description="Iterations between snapshots.")
    test_iter: Count = Field(10, description="Batches of a test pass.")
    test_interval: Count = Field(500, description="Iterations between test passes.")
    random_seed: int = Field(1, ge=0, le=_INT32, description="Seed of the initial weights and the batches.")
    sampled: Sampled | None = Field(
        None, description="Train on some of the items a batch, for large N, in place of the softmax over all."
    )
    multipliers: Multipliers = Field(
        Multipliers.model_construct(), description="Caffe's lr_mult and decay_mult by kind of parameter."
    )

    def updates(self, epochs: float, rows: int) -> int:
        """Return the iterations that make so many passes over ``rows`` training rows, to the nearest; 1 at least."""
        return min(max(round(epochs * rows / (self.batch_size * self.iter_size)), 1), _INT32)


class Data(_Section):
    """What the pages and the labels are, for `drn sessions`."""

    target: Literal["purchase", "next"] = Field("purchase", description="Label: the item bought, or the next page.")
    page: Literal["item", "category"] = Field("item", description="What identifies a page of the log.")
    item: Literal["item", "category"] = Field("item", description="What identifies a purchase.")


class Spec(_Section):
    """One architecture spec: the whole of what `gen-model` needs."""

    name: str = Field(pattern=NAME, description="Name of the model and of its folder: a-z, 0-9, - and _.")
    net: Literal["fnn", "rnn", "combined"] = Field(description="Which net: long-term, short-term, or both added.")
    pages: Vocabulary = Field(description="Pages, M: ids 1..M, 0 means none.")
    items: Vocabulary = Field(description="Items, N: ids 1..N, 0 means none.")
    rnn: Rnn | None = Field(None, description="The recurrent net; needed by rnn and combined.")
    fnn: Fnn | None = Field(None, description="The feed-forward net; needed by fnn and combined.")
    head: Head = Field(Head.model_construct(), description="What the output reads of the recurrent net.")
    loss: Literal["last", "every"] = Field("last", description="Softmax loss at the last state or at every state.")
    ensemble: int = Field(
        1, ge=1, le=16, description="Nets of this spec, trained from other seeds, averaged in one model."
    )
    top_k: int = Field(20, ge=1, le=1000, description="Items the served model answers with; all, if there are fewer.")
    init: Init = Field(Init.model_construct(), description="How the parameters start.")
    solver: Solver = Field(Solver.model_construct(), description="How the net is trained.")
    data: Data = Field(Data.model_construct(), description="What the data hold.")

    @model_validator(mode="before")
    @classmethod
    def _completed(cls, values: Any) -> Any:
        return completed(values) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _rules(self) -> "Spec":
        findings = [f"{paths[0]}: {message}" for paths, message in broken_rules(lambda path: field_of(self, path))]
        if findings:
            raise ValueError("\n".join(findings))
        return self

    def in_iterations(self, rows: int) -> "Spec":
        """Return the spec with ``solver.max_iter`` in place of ``solver.epochs``, for so many training rows."""
        solver = self.solver
        if solver.epochs is None:
            return self
        update = {"max_iter": solver.updates(solver.epochs, rows), "epochs": None}
        return self.model_copy(update={"solver": solver.model_copy(update=update)})

    @property
    def has_rnn(self) -> bool:
        """Whether the net reads the session."""
        return self.net != "fnn"

    @property
    def has_fnn(self) -> bool:
        """Whether the net reads the purchases."""
        return self.net != "rnn"

    @property
    def window(self) -> int:
        """States kept, n; 0 without a recurrent net."""
        return self.rnn.window if self.rnn and self.has_rnn else 0

    @property
    def history(self) -> int:
        """States of the history, H; 0 without a history state."""
        return self.rnn.history if self.rnn and self.has_rnn else 0

    @property
    def seen(self) -> int:
        """Pages of the session that count as seen, S; 0 without a mixture."""
        return self.head.mix.pages if self.head.mix else 0

    @property
    def slots(self) -> int:
        """Ids after the known ones, M+1..M+S, for the pages of a session that the vocabulary lacks; 0 without."""
        return self.head.slots

    @property
    def bought(self) -> int:
        """Purchases kept, K; 0 without a feed-forward net."""
        return self.fnn.bought if self.fnn and self.has_fnn else 0

    @property
    def unmixed(self) -> "Spec":
        """The same net with nothing mixed with its probabilities: what training moves."""
        return self.model_copy(update={"head": self.head.model_copy(update={"mix": None})})

    def member(self, number: int = 1) -> "Spec":
        """Return the spec of one net of the ensemble, 1 the first, which has the seed of the spec itself."""
        if self.ensemble == 1:
            return self
        seed = (self.solver.random_seed + (number - 1) * _NEXT_SEED) % (_INT32 + 1)
        solver = self.solver.model_copy(update={"random_seed": seed})
        return self.model_copy(update={"ensemble": 1, "solver": solver})

    @property
    def merged(self) -> "Spec":
        """The one net that the nets of the ensemble are side by side: as many times as wide, for inference alone."""
        if self.ensemble == 1:
            return self
        parts: dict[str, Rnn | Fnn | None] = {"rnn": self.rnn, "fnn": self.fnn}
        wide = {
            name: part.model_copy(update={"widths": [width * self.ensemble for width in part.widths]})
            for name, part in parts.items()
            if part
        }
        head = self.head.model_copy(update={"projection": self.head.projection or self.head.tied, "dropout": 0.0})
        return self.model_copy(update={"ensemble": 1, "head": head, **wide})

    @property
    def every(self) -> bool:
        """Whether the loss is at every state."""
        return self.loss == "every"


def completed(values: dict[str, Any]) -> dict[str, Any]:
    """Return the plain ``values`` of a spec with the default that depends on another: no more ``top_k`` than items."""
    items, usual = values.get("items"), Spec.model_fields["top_k"].default
    if "top_k" in values or type(items) is not int or not 0 < items < usual:
        return values
    return {**values, "top_k": items}


def field_of(spec: Spec | dict[str, Any], path: str) -> object:
    """Return the value at a dotted path of a spec, or of the plain mapping it is made from, defaults filled in.

    Raises
    ------
    LookupError
        A section on the way is absent.
    """
    value: Any = spec
    section: Any = Spec
    for step in path.split("."):
        if isinstance(value, BaseModel):
            value = getattr(value, step)
        elif isinstance(value, dict):
            field = section.model_fields[step]
            value = value.get(step, field.default)
            section = _section(field.annotation)
        else:
            raise LookupError(path)
    return value


def _section(annotation: Any) -> Any:
    """Return the model in an annotation such as ``Rnn | None``; None for a field that is no section."""
    kinds = (annotation, *get_args(annotation))
    return next((kind for kind in kinds if hasattr(kind, "model_fields")), None)
