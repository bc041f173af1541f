"""The log read once: its data folder in windows of one state, and what follows from its figures."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from generator.data.build import build
from generator.data.log.formats import rows_of
from generator.data.log.sources import Frame, Source
from generator.data.options import Options as DataOptions
from generator.data.sessions.splits import Division
from generator.errors import DataError
from generator.fitting.choose import Candidate, Target, candidates_for, choose_target
from generator.fitting.facts import Facts
from generator.fitting.look import Look, look
from generator.fitting.options import FitOptions
from generator.fitting.specfile import commented
from generator.spec import dump_spec, parse_spec
from generator.spec.schema import NAME, Data, Head, Rnn, Spec

__all__ = ["Draft", "draft"]

# Of the sessions for the test part, and of logs of fewer labels than SMALL; and the labels that it has at most, about.
SHARE, SMALL_SHARE, SMALL, TEST_LABELS = 0.1, 0.2, 50_000, 60_000
FEWEST = 100  # sessions with a purchase after a view, below which the next page is recommended
MOST_IDS = 2**24 - 1


@dataclass(frozen=True)
class Draft:
    """What was understood of a log, and the nets to try on it."""

    look: Look
    target: Target
    facts: Facts
    share: float
    candidates: tuple[Candidate, ...]

    def lines(self) -> list[str]:
        """Return what was understood, in lines for a person."""
        return [*self.look.lines(), self.facts.line()]

    def spec_text(self, candidate: Candidate) -> str:
        """Return the spec of a candidate as a file, with its reasons."""
        return commented(
            candidate.spec, ["Chosen by drn fit, after these figures of the log:", *self.lines()], candidate.reasons
        )

    def data_options(self, options: FitOptions) -> DataOptions:
        """Return the options of `drn sessions` that make the data folder."""
        return _data_options(self.look, options, self.share)

    def as_json(self) -> dict[str, Any]:
        """Return the draft in plain dicts, lists and numbers."""
        candidates = [[each.name, dump_spec(each.spec), dict(each.reasons)] for each in self.candidates]
        return {
            "look": asdict(self.look),
            "target": asdict(self.target),
            "facts": self.facts.as_json(),
            "share": self.share,
            "candidates": candidates,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Draft":
        """Return what `as_json` gave."""
        found = values["look"]
        return cls(
            Look(**{**found, "bought": tuple(found["bought"]), "doubts": tuple(found["doubts"])}),
            Target(**values["target"]),
            Facts.from_json(values["facts"]),
            values["share"],
            tuple(Candidate(name, parse_spec(text, name), reasons) for name, text, reasons in values["candidates"]),
        )


def draft(sources: Sequence[Source], folder: Path, options: FitOptions) -> Draft:
    """Read a log into the data folder ``folder``, and choose the nets to try.

    Raises
    ------
    DataError
        The log does not hold, or gives no rows.
    SpecError
        An override does not hold.
    """
    for source in sources:
        if isinstance(source, Path) and not source.exists():
            raise DataError(f"{source}: no such file")
    seen = look([*sources, *options.tests], options.given)
    target = choose_target(seen, options.target, options.level)
    share = _share(sources, seen, target)
    try:
        _build(sources, folder, seen, target, options, share)
        facts = Facts.of(folder)
        few = facts.sessions < FEWEST
        why = f"only {facts.sessions:,} sessions buy after a view"
    except DataError as error:
        if not options.target and target.target == "next" and seen.bought[0]:
            raise DataError(f"{error}; --target purchase takes the {seen.bought[0]:,} purchases there are") from error
        if options.target or target.target == "next":
            raise
        few, why = True, "no session buys after a view"
    if few and not options.target and target.target == "purchase":
        target = replace(target, target="next", level="item", reasons={"data.target": f"{why}; --target overrules it"})
        _build(sources, folder, seen, target, options, share)
        facts = Facts.of(folder)
    name = options.name or name_of(sources[0])
    candidates = candidates_for(facts, target, name, options.overrides, options.seed)
    if candidates[0].spec.slots:  # they come after the ids, whose number is known only now
        _build(sources, folder, seen, target, options, share, candidates[0].spec)
    return Draft(seen, target, facts, share, tuple(candidates))


def name_of(source: Source) -> str:
    """Return a name for the model of a log: what its file is called, as far as a name can hold it.

    >>> name_of(Path("2024/Clicks-May.csv.gz"))
    'clicks-may'
    """
    stem = source.name if isinstance(source, Frame) else source.name.partition(".")[0]
    found = re.sub(r"[^a-z0-9_-]+", "-", stem.lower()).strip("-_0123456789")[:64]
    return found if re.fullmatch(NAME, found) else "log"


def _share(sources: Sequence[Source], seen: Look, target: Target) -> float:
    """Return the share of the sessions for the test part, in two digits."""
    labels = float(sum(rows_of(source) for source in sources))
    if target.target == "purchase":
        labels *= seen.bought[0] / seen.rows
    return float(f"{min(SMALL_SHARE if labels < SMALL else SHARE, TEST_LABELS / max(labels, 1)):.2g}")


def _build(
    sources: Sequence[Source],
    folder: Path,
    seen: Look,
    target: Target,
    options: FitOptions,
    share: float,
    known: Spec | None = None,
) -> None:
    """Write the data folder, in windows of one state; with the ids and the slots of a spec, if that is ``known``."""
    spec = Spec(
        name="draft",
        net="rnn",
        pages=known.pages if known else MOST_IDS,
        items=known.items if known else MOST_IDS,
        rnn=Rnn(window=1, widths=[1]),
        head=Head(mix=known.head.mix, slots=known.slots) if known else Head(),
        data=Data(target=target.target, page=target.level, item=target.level),
    )
    build(_plain(sources), folder, spec, _data_options(seen, options, share))


def _plain(sources: Sequence[Source]) -> list[Any]:
    """Return files as they are, and of a DataFrame the table."""
    return [source.table if isinstance(source, Frame) else source for source in sources]


def _data_options(seen: Look, options: FitOptions, share: float) -> DataOptions:
    division = Division(files=True) if options.tests else Division(share=share)
    return DataOptions(
        form=seen.form,
        test=_plain(options.tests),
        columns=seen.columns,
        gap=options.gap,
        division=division,
        max_bad=options.max_bad,
        events=seen.words,
    )
