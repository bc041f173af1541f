"""The rules between fields of a spec, each checked as soon as the fields it reads are known."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

__all__ = ["INSTEAD", "MAX_ITER", "MAX_WIDTH", "broken_rules"]

MAX_WIDTH = 65536  # of a layer
MAX_ITER = 1000  # where neither it nor epochs is given
# A field of a section and the one that says the same: set on top of a spec, it takes that one's place.
INSTEAD = {"solver.epochs": "max_iter", "solver.max_iter": "epochs"}


def _one_width_a_layer(layers: int | None, widths: list[int]) -> str | None:
    if layers is None or layers == len(widths):
        return None
    return f"{layers} given, but widths lists {len(widths)}: give one width for each layer"


def _net_needs_rnn(net: str, rnn: object) -> str | None:
    return f"{net} needs a section rnn" if net != "fnn" and rnn is None else None


def _net_needs_fnn(net: str, fnn: object) -> str | None:
    return f"{net} needs a section fnn" if net != "rnn" and fnn is None else None


def _loss_needs_states(loss: str, net: str) -> str | None:
    return "every needs states, and net fnn has none: use last" if loss == "every" and net == "fnn" else None


def _enough_items(top_k: int, items: int) -> str | None:
    return f"{top_k} is more than there are items ({items}): at most {items}" if top_k > items else None


def _one_vocabulary(tied: bool, pages: int, items: int) -> str | None:
    if not tied or pages == items:
        return None
    return f"a tied output needs one vocabulary, but there are {pages} pages and {items} items: give the same number"


def _newest_are_seen(newest: int, pages: int) -> str | None:
    return f"{newest} is more than the pages seen ({pages}): at most pages" if newest > pages else None


def _slots_need_mix(slots: int, mix: object) -> str | None:
    return (
        "no more than 0 without head.mix, which is what recommends them: set head.mix"
        if slots and mix is None
        else None
    )


def _slots_of_one_level(slots: int, page: str, item: str) -> str | None:
    if not slots or page == item:
        return None
    return (
        f"an unseen page is recommended as itself, but pages are by {page} and items by {item}, and nobody knows the "
        f"{item} of an unseen {page}: set data.page and data.item alike"
    )


def _slots_after_one_vocabulary(slots: int, pages: int, items: int) -> str | None:
    if not slots or pages == items:
        return None
    return f"slots come after the ids of pages and of items, but there are {pages} and {items}: give the same number"


def _tied_widths(tied: bool, projection: bool, widths: list[int]) -> str | None:
    if not tied or projection or not widths or widths[0] == widths[-1]:
        return None
    return (
        f"the topmost layer is {widths[-1]} wide and the table it is tied to {widths[0]}: "
        "set head.projection, or make the first and the last width equal"
    )


def _ensemble_fits(ensemble: int, widths: list[Any]) -> str | None:
    widest = max((width for width in widths if type(width) is int and width > 0), default=1)
    if ensemble == 1 or ensemble * widest <= MAX_WIDTH:
        return None
    return (
        f"{ensemble} nets side by side, {widest} wide each, are wider than {MAX_WIDTH}: at most {MAX_WIDTH // widest}"
    )


def _ordered_range(low: float, high: float, kind: str) -> str | None:
    return f"{low} is above max ({high}): at most max" if kind == "uniform" and low > high else None


def _one_length(epochs: float | None, max_iter: int) -> str | None:
    if epochs is None or max_iter == MAX_ITER:
        return None
    return f"{epochs:g} epochs, and max_iter: {max_iter} says how long too: give one of them"


def _multistep_has_steps(policy: str, steps: list[int]) -> str | None:
    return "multistep needs stepvalue, the iterations to step at" if policy == "multistep" and not steps else None


def _lazy_adam(lazy: bool | str, kind: str) -> str | None:
    if not lazy or kind == "Adam":
        return None
    given = str(lazy).lower()
    return f"{given}, but type is {kind}, whose tables are updated by rows anyway: leave it out, or set type: Adam"


def _steps_increase(steps: list[Any]) -> str | None:
    if any(type(step) is not int for step in steps):  # reported as a field error
        return None
    falls = [later for earlier, later in pairwise(steps) if later <= earlier]
    return f"{falls[0]} is not above the step before it: each must be larger than the last" if falls else None


def _below_one_in_float32(value: Any) -> str | None:
    close = isinstance(value, float) and 1 - 2**-25 <= value < 1
    return f"{value} is 1 in float32, as Caffe keeps it, and would never fade: at most 0.9999999" if close else None


def _above_zero_in_float32(value: Any) -> str | None:
    tiny = isinstance(value, float) and 0 < value < 1e-38
    return f"{value} is too small for float32, as Caffe keeps it: at least 1e-38" if tiny else None


# The fields a rule reads; a finding is reported at the first of them.
_RULES: tuple[tuple[tuple[str, ...], Callable[..., str | None]], ...] = (
    (("rnn.layers", "rnn.widths"), _one_width_a_layer),
    (("fnn.layers", "fnn.widths"), _one_width_a_layer),
    (("net", "rnn"), _net_needs_rnn),
    (("net", "fnn"), _net_needs_fnn),
    (("loss", "net"), _loss_needs_states),
    (("top_k", "items"), _enough_items),
    (("head.tied", "pages", "items"), _one_vocabulary),
    (("head.tied", "head.projection", "rnn.widths"), _tied_widths),
    (("ensemble", "rnn.widths"), _ensemble_fits),
    (("ensemble", "fnn.widths"), _ensemble_fits),
    (("head.mix.newest", "head.mix.pages"), _newest_are_seen),
    (("head.slots", "head.mix"), _slots_need_mix),
    (("head.slots", "data.page", "data.item"), _slots_of_one_level),
    (("head.slots", "pages", "items"), _slots_after_one_vocabulary),
    (("init.table.min", "init.table.max", "init.table.type"), _ordered_range),
    (("init.weight.min", "init.weight.max", "init.weight.type"), _ordered_range),
    (("init.bias.min", "init.bias.max", "init.bias.type"), _ordered_range),
    (("solver.epochs", "solver.max_iter"), _one_length),
    (("solver.lr_policy", "solver.stepvalue"), _multistep_has_steps),
    (("solver.stepvalue",), _steps_increase),
    (("solver.lazy", "solver.type"), _lazy_adam),
    *(((f"solver.{name}",), _below_one_in_float32) for name in ("momentum", "momentum2")),
    *(((f"solver.{name}",), _above_zero_in_float32) for name in ("base_lr", "delta", "clip_gradients")),
)


def broken_rules(field: Callable[[str], object]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the fields read, the reported one first, and the message of every rule that does not hold.

    Parameters
    ----------
    field
        Returns the value at a dotted path such as ``rnn.layers``; raises LookupError where it is not known, and the
        rule is then left undecided.
    """
    for paths, check in _RULES:
        try:
            message = check(*map(field, paths))
        except LookupError:
            continue
        if message:
            yield paths, message
