"""What a template may know of a net: the validated spec's values and the sizes derived from them."""

from dataclasses import dataclass

from generator.spec.blobs import INPUTS
from generator.spec.schema import Init, Multipliers, Spec

__all__ = ["Net", "net_of"]

# Items and width of a block from which TopK by blocks is faster in onnxruntime than one of all scores.
BLOCKED, NARROWEST = 4096, 8
# What the conditional logit of the pages seen knows of each: log of count, lag and dwell time, share, and the newest.
SEEN_FEATURES = 5
# The most ids whose table a portable net holds, once a column: 10,000 ids of width 100 in seven columns are 28 MB.
MOST_ONE_HOT = 10_000


@dataclass(frozen=True)
class Net:
    """The sizes and settings of one net. Widths are listed bottom first; 0 means the part is absent."""

    name: str
    graph_name: str
    rnn: bool
    fnn: bool
    every: bool
    page_rows: int
    item_rows: int
    window: int
    history: int
    bought: int
    rnn_widths: list[int]
    fnn_widths: list[int]
    tied: bool
    projection: bool
    skip: bool
    dropout: float
    seen: int
    slots: int
    newest: int
    followers: int
    top_k: int
    batch_size: int
    negatives: int
    init: Init
    multipliers: Multipliers
    portable: bool = False

    def holds(self, rows: int) -> bool:
        """Whether a portable net holds a table of so many rows, and reads vectors as long as it; else it reads rows."""
        return rows - 1 <= MOST_ONE_HOT

    @property
    def columns(self) -> list[str]:
        """The unrolled columns, oldest first: ``history`` where there is one, then ``t0`` .. ``t{n-1}``."""
        return ["history"] * bool(self.history) + [f"t{t}" for t in range(self.window)]

    @property
    def output_rows(self) -> int:
        """Scores that the output's tables give: one shared with the pages has one for the slots, which is cut off."""
        return self.page_rows if self.tied and not self.portable else self.item_rows

    @property
    def answer_columns(self) -> int:
        """Columns of the probabilities: of "none", the items, and the slots."""
        return self.item_rows + self.slots

    @property
    def recurrent(self) -> bool:
        """Whether any column has one before it, so that recurrent weights exist."""
        return len(self.columns) > 1

    @property
    def candidates(self) -> int:
        """The places of a sampled softmax: for "none", a batch's labels and the negatives; 0: all items."""
        labels = self.batch_size * (self.window if self.every else 1)
        return 1 + labels + self.negatives if self.negatives else 0

    @property
    def mix_parameters(self) -> list[tuple[str, str, list[int]]]:
        """The tables and weights of the mixture: name, type and shape of each; empty without one."""
        if not self.seen:
            return []
        pages = self.page_rows - bool(self.slots) + self.slots  # each slot has an id of its own here
        item = [] if self.tied else [("mix_item", "int64", [pages])]
        return [
            ("mix_trend", "float", [self.output_rows]),
            ("mix_follower", "int32", [pages, self.followers]),
            ("mix_share", "float", [pages, self.followers]),
            *item,
            ("mix_coefficient", "float", [1, SEEN_FEATURES]),
            ("mix_repeat", "float", [1]),
            ("mix_weight", "float", [self.seen + 1, 2 + self.newest]),
        ]

    @property
    def state_width(self) -> int:
        """Width of what the output's table multiplies: a row of the tied table, or the topmost hidden layer."""
        return self.rnn_widths[0] if self.tied else self.rnn_widths[-1]

    @property
    def block(self) -> int:
        """Scores that share a maximum in the model's TopK by blocks; 0: it is one TopK of all.

        With B blocks of w scores it looks at B maxima and the scores of K blocks, least for w = sqrt(N/K). A width that
        divides the scores is taken where there is one about as good, for the last block then needs no padding.
        """
        scores = self.answer_columns
        best = max(round((scores / self.top_k) ** 0.5), 1)
        dividing = [width for width in range(best // 2 + 1, 2 * best) if scores % width == 0]
        width = min(dividing, key=lambda one: abs(one - best), default=best)
        pays = (
            self.answer_columns > BLOCKED and width >= NARROWEST and 4 * (self.top_k + 1) * width <= self.answer_columns
        )
        return width if pays else 0

    @property
    def blobs(self) -> list[tuple[str, int]]:
        """The input blobs of the inference graph and their sizes behind the batch axis."""
        return [(blob.name, blob.size(self)) for blob in INPUTS.values() if blob.size(self)]

    @property
    def trained_blobs(self) -> list[tuple[str, int]]:
        """Those of `blobs` that training and Caffe read: what Caffe mixes is made of the others outside it."""
        return [(blob, size) for blob, size in self.blobs if INPUTS[blob].trained]


def net_of(spec: Spec, *, portable: bool = False) -> Net:
    """Derive the sizes of the net of ``spec``; every table and the softmax have one row more than ids, for 0.

    The table of the pages has another for the slots. ``portable`` is for the net of deploy.portable.prototxt.
    """
    return Net(
        name=spec.name,
        # A name of ONNX text is an identifier of C.
        graph_name=spec.name.replace("-", "_"),
        rnn=spec.has_rnn,
        fnn=spec.has_fnn,
        every=spec.every,
        page_rows=spec.pages + 1 + bool(spec.slots),
        item_rows=spec.items + 1,
        window=spec.window,
        history=spec.history,
        bought=spec.bought,
        rnn_widths=list(spec.rnn.widths) if spec.rnn and spec.has_rnn else [],
        fnn_widths=list(spec.fnn.widths) if spec.fnn and spec.has_fnn else [],
        tied=spec.has_rnn and spec.head.tied,
        projection=spec.has_rnn and spec.head.projection,
        skip=spec.has_rnn and spec.head.skip,
        dropout=spec.head.dropout if spec.has_rnn else 0.0,
        seen=spec.seen,
        slots=spec.slots if spec.head.mix else 0,
        newest=spec.head.mix.newest if spec.head.mix else 0,
        followers=spec.head.mix.followers if spec.head.mix else 0,
        top_k=spec.top_k,
        batch_size=spec.solver.batch_size,
        negatives=spec.solver.sampled.negatives if spec.solver.sampled else 0,
        init=spec.init,
        multipliers=spec.solver.multipliers,
        portable=portable,
    )
