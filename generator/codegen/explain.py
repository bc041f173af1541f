"""A spec in words: what its net computes, the blobs on the way, the parameters, and the work for one sample."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from generator.codegen.net import Net, net_of
from generator.codegen.render import render
from generator.inspect.caffe_net import net_report
from generator.inspect.report import RULE, FileReport
from generator.inspect.text import report_text
from generator.spec.schema import Spec

__all__ = ["Explanation", "equations", "explain"]

# The blobs worth a line: layers in place, reshapes and sums on the way to them are left out.
_MAIN = re.compile(
    r"history|visit_t\d+|hidden\d+_(history|t\d+)|top_t\d+|projected_t\d+|skip_t\d+|state_output_t\d+|bag|fnn\d+"
    r"|output_rnn|output_fnn|logit"
)


@dataclass(frozen=True)
class Explanation:
    """A spec explained.

    Attributes
    ----------
    equations : pairs of an equation and what it says; none of a net that a user's templates give
    report : the inputs, main blobs and parameters of the training net
    forward, training : FLOP a sample, by `generator.inspect.report.RULE`, of deploy and of train_val up to the loss
    """

    equations: list[tuple[str, str]]
    report: FileReport
    forward: int | None
    training: int | None

    def text(self) -> str:
        """Return it as lines for people."""
        wide = max((len(equation) for equation, _ in self.equations), default=0)
        lines = [f"  {equation.ljust(wide)}  {words}" for equation, words in self.equations]
        facts, *rest = report_text(self.report).split("\n\n")
        work = f"{self.forward:,} FLOP a sample to infer, {self.training:,} to the loss\n{RULE}"
        return "\n\n".join([facts, *(["\n".join(lines)] if lines else []), *rest, work])

    def as_json(self) -> dict[str, Any]:
        """Return plain lists and dicts, as `drn inspect` gives them."""
        report = self.report.as_json()
        return {
            "equations": [{"equation": equation, "words": words} for equation, words in self.equations],
            "blobs": report["blobs"],
            "parameters": report["parameters"],
            "totals": {
                "values": report["totals"]["values"],
                "bytes": report["totals"]["bytes"],
                "flop_per_sample": self.forward,
                "flop_per_sample_to_loss": self.training,
            },
            "flop_rule": RULE,
        }


def explain(spec: Spec, templates: Path | None = None) -> Explanation:
    """Explain ``spec`` by the Caffe nets that its templates give.

    Raises
    ------
    TemplateError, ModelError
        A user's ``templates`` do not hold, or give a net that does not.
    """
    with TemporaryDirectory() as folder:
        for name, text in render(spec, ["caffe"], templates).items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        deploy, train = (net_report(Path(folder) / f"{name}.prototxt") for name in ("deploy", "train_val"))
    blobs = [
        replace(blob, role=blob.role or "hidden") for blob in train.blobs if blob.role or _MAIN.fullmatch(blob.name)
    ]
    facts = {"net": spec.net, "loss": spec.loss, "batch size": spec.solver.batch_size}
    report = FileReport(spec.name, "spec", facts, blobs=blobs, parameters=train.parameters)
    # What a user's templates compute, drn cannot say.
    return Explanation([] if templates else equations(spec), report, deploy.flop, train.flop)


def equations(spec: Spec) -> list[tuple[str, str]]:
    """Return what the net of ``spec`` computes, each equation with what it says; a product is written ``·``."""
    net = net_of(spec)
    found = [*_recurrent(net)] if net.rnn else []
    found += _feed_forward(net) if net.fnn else []
    found += [*_output(net), *_loss(net)]
    if spec.ensemble > 1:
        answered = (
            "z in the answers: the mean of theirs, of nets trained from other seeds; each has the loss of its own"
        )
        found.append((f"z = Σ_i z_i / {spec.ensemble}", answered))
    return found


def _recurrent(net: Net) -> Iterator[tuple[str, str]]:
    dropped = f", of which training drops {net.dropout:g}" if net.dropout else ""
    yield "x_t = page_embedding[page_t]", f"the row of page t, t = 0..{net.window - 1}, newest last{dropped}"
    if net.history:
        yield (
            "x_history = Σ_j history_weight_j · page_embedding[history_page_j]",
            f"the {net.history} states before the window, weighted by their aging factors: the column before t = 0",
        )
    for layer in range(1, len(net.rnn_widths) + 1):
        below = "x_t" if layer == 1 else f"hidden{layer}_input_weight · h{layer - 1}_t"
        before = f" + hidden{layer}_recurrent_weight · h{layer}_(t-1)" if net.recurrent else ""
        yield (
            f"h{layer}_t = relu({below}{before} + hidden{layer}_bias)",
            f"hidden layer {layer}, {net.rnn_widths[layer - 1]} wide; exactly 0 where there is no state",
        )


def _feed_forward(net: Net) -> Iterator[tuple[str, str]]:
    for layer, width in enumerate(net.fnn_widths, 1):
        below = f"fnn{layer}_weight · g{layer - 1}"
        if layer == 1:
            below = "Σ_j bought_weight_j · bought_embedding[bought_j]"
        what = f"the {net.bought} earlier purchases, " if layer == 1 else ""
        yield f"g{layer} = relu({below} + fnn{layer}_bias)", f"{what}layer {layer}, {width} wide"


def _output(net: Net) -> Iterator[tuple[str, str]]:
    state = f"h{len(net.rnn_widths)}_t"
    if net.projection or net.skip:
        top = f"projection_weight · {state}" if net.projection else state
        skip = " + skip_weight · x_t" if net.skip else ""
        yield f"y_t = {top}{skip}", f"what the output reads, {net.state_width} wide"
        state = "y_t"
    parts = [f"{'page_embedding' if net.tied else 'output_rnn_weight'} · {state}"] if net.rnn else []
    parts += [f"output_fnn_weight · g{len(net.fnn_widths)}"] if net.fnn else []
    tied = ", by the table of the pages" if net.tied else ""
    yield (
        f"z{'_t' if net.rnn else ''} = {' + '.join([*parts, 'output_bias'])}",
        f"{net.item_rows} scores, one an item and one for none{tied}",
    )
    newest = f"z{f'_{net.window - 1}' if net.rnn else ''}"
    if not net.seen:
        yield f"probability = softmax({newest})", f"answers are its top {net.top_k}"
        return
    yield (
        f"m = softmax({newest} + mix_trend) + Σ_k a_k · share_k",
        f"share_k: of what followed the k-th newest page, k to {net.newest}, and of what is popular; a: of mix_weight",
    )
    yield (
        "probability ∝ m · (mix_repeat if seen) + a_seen · c",
        f"c: of the newest {net.seen} pages, by their counts, lags, dwell times; answers are its top {net.top_k}",
    )


def _loss(net: Net) -> Iterator[tuple[str, str]]:
    if net.every:
        yield "loss = mean_t -log softmax(z_t)[label_t]", "at every state; label 0 does not count"
    else:
        probability = "softmax(z)" if net.seen else "probability"
        yield f"loss = -log {probability}[label]", "at the last state; the mean over the batch, label 0 does not count"
