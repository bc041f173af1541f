"""The net of a fit: candidates are tried, judged beside every rule, tuned, and lean on a rule that is ahead."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generator.data.store.split import Split
from generator.fitting import compare
from generator.fitting.choose import Candidate, rows_of_training
from generator.fitting.facts import Facts
from generator.fitting.journal import FitJournal
from generator.fitting.lean import Leaning, leanings, rule_ahead
from generator.fitting.options import FitOptions, Listener
from generator.fitting.recipes import recipe_for
from generator.fitting.trial import trained, trial_folder, trial_spec
from generator.fitting.tuning import tuned
from generator.mixture.mixture import Fitted
from generator.model.model import Model
from generator.spec import dump_spec, parse_spec
from generator.training.run.mixing import FILE
from generator.training.run.train import TrainOptions

__all__ = ["Selected", "Selection"]


@dataclass(frozen=True)
class Selected:
    """What a selection came to.

    Attributes
    ----------
    candidate
        The best one on the validation part.
    report
        Of `drn evaluate`, as JSON has it: of all candidates and rules on the validation part.
    rule
        The best rule there.
    leans_on
        The rule that the candidate's mixture leans on; empty if no rule was ahead.
    speed
        Rows a second that it was trained at.
    fitting
        Seconds that the rules would take to be fitted to the whole training part, by what they took on the trials'.
    ranking
        Seconds that all methods took to rank a row.
    """

    candidate: Candidate
    report: dict[str, Any]
    rule: str
    leans_on: str
    speed: float
    fitting: float
    ranking: float


class Selection:
    """The trials of a fit, each a stage of its journal.

    Parameters
    ----------
    folder
        Gets the run of each candidate, by name, and their data.
    log
        The data folder of the log.
    facts
        Of the log.
    options
        What was asked for.
    journal
        Of the fit.
    listener
        Who hears of it.
    """

    def __init__(
        self,
        folder: Path,
        log: Path,
        facts: Facts,
        options: FitOptions,
        journal: FitJournal,
        listener: Listener,
    ) -> None:
        self._folder, self._log, self._facts, self._options = folder, log, facts, options
        self._journal, self._listener = journal, listener
        self._recipe = recipe_for(facts)[1]

    def best(self, candidates: Sequence[Candidate]) -> Selected:
        """Return the best of the candidates, of what is found around it, and of what leans on a rule that is ahead."""
        tried = [each for number, each in enumerate(candidates) if self._try(each, needed=not number)]
        judged = self._journal.stage("judge", lambda: self._judge(tried))
        report = judged["report"]
        self._listener.note(_ranking(report))
        if self._options.tune:
            tried.append(self._tuned(_best(tried, report), tried))
            self._try(tried[-1], needed=True)
            report = self._more("judge tuned", report, lambda: tried[-1:])
        base = chosen = _best(tried, report)
        rule = rule_ahead(report, base.name) if base.spec.head.mix else ""
        if rule:
            fitted = Fitted.read(self._folder / base.name / FILE)
            leaning = list(leanings(base, fitted, rule, self._facts))
            report = self._more("lean", report, lambda: [self._lean(base, each) for each in leaning])
            chosen = _best([*tried, *(each.candidate for each in leaning)], report)
        trial = self._journal.read(f"try {base.name}")
        return Selected(
            candidate=chosen,
            report=report,
            rule=compare.best(report, "baseline"),
            leans_on=rule if chosen is not base else "",
            speed=trial["samples_per_second"],
            fitting=judged["fitting"] / trial["share"],
            ranking=judged["ranking"] / max(report["rows"], 1),
        )

    def _try(self, candidate: Candidate, *, needed: bool) -> bool:
        """Train a candidate on a part of the data; return whether there was time for it, or it is ``needed``."""

        def work() -> dict[str, Any]:
            at_once = candidate.spec.solver.max_iter == 1
            seconds = self._journal.budget.for_first_trial() if needed else self._journal.budget.for_trial()
            if seconds > 0 or at_once:
                return self._tried(candidate, None if at_once else seconds)
            self._listener.note(f"no time is left to try {candidate.name}")
            return {"tried": False}

        return bool(self._journal.stage(f"try {candidate.name}", work)["tried"])

    def _tried(self, candidate: Candidate, seconds: float | None) -> dict[str, Any]:
        data = self._data(candidate)
        with Split(data / "train.h5") as split:
            share = min(split.rows / max(rows_of_training(self._facts, candidate.spec), 1), 1.0)
        spec = trial_spec(candidate, share)
        options = TrainOptions(seconds=seconds)
        result = trained(spec, data, self._folder / candidate.name, self._listener, options)
        rows = result.iterations * spec.solver.batch_size * spec.solver.iter_size
        speed = result.samples_per_second or rows / max(result.seconds, 1e-3)
        return {"tried": True, "samples_per_second": speed, "share": share}

    def _data(self, candidate: Candidate) -> Path:
        folder = self._folder / "data"
        seed, minutes = self._options.seed, self._options.minutes
        return trial_folder(self._log, folder, candidate.spec, self._recipe.epochs, seed, minutes)

    def _judge(self, tried: Sequence[Candidate]) -> dict[str, Any]:
        """Rank the validation rows by all candidates and rules."""
        models = {each.name: Model(self._folder / each.name) for each in tried}
        found = compare.compare(models, self._data(tried[0]), "valid", self._listener)
        report = compare.without_pairs(found.report, ())
        return {"report": report, "fitting": found.fitting, "ranking": found.ranking}

    def _more(self, stage: str, report: dict[str, Any], made: Callable[[], Iterable[Candidate]]) -> dict[str, Any]:
        """Return the report with more candidates, which ``made`` gives once they are trained."""

        def work() -> dict[str, Any]:
            found = list(made())
            models = {each.name: Model(self._folder / each.name) for each in found}
            return {"report": compare.extended(report, models, self._data(found[0]), "valid")}

        extended: dict[str, Any] = self._journal.stage(stage, work)["report"]
        self._listener.note(_ranking(extended))
        return extended

    def _tuned(self, around: Candidate, tried: Sequence[Candidate]) -> Candidate:
        """Hand over to `drn tune`; return what it found."""

        def search() -> dict[str, Any]:
            others = [each for each in tried if each.name != around.name]
            best = tuned(around, self._recipe, self._data(around), self._folder, self._options.minutes / 2, others)
            return {"spec": dump_spec(best.spec), "reasons": dict(best.reasons)}

        found = self._journal.stage("tune", search)
        return Candidate("tuned", parse_spec(found["spec"], "the tuned spec"), found["reasons"])

    def _lean(self, base: Candidate, leaning: Leaning) -> Candidate:
        """Export the net of ``base`` with another mixture."""
        options = TrainOptions(weights=self._folder / base.name, until=0, mix_from=leaning.fitted)
        spec = trial_spec(leaning.candidate, 1.0)
        trained(spec, self._data(base), self._folder / leaning.candidate.name, self._listener, options)
        return leaning.candidate


def _best(candidates: Sequence[Candidate], report: dict[str, Any]) -> Candidate:
    name = compare.best(report, "model")
    return next(each for each in candidates if each.name == name)


def _ranking(report: dict[str, Any]) -> str:
    """Return the methods of a report by METRIC, best first, in a line."""
    names = sorted((each["name"] for each in report["methods"]), key=lambda name: -compare.figure(report, name))
    return f"{compare.METRIC} on the validation part: " + ", ".join(
        f"{name} {compare.figure(report, name):.3f}" for name in names
    )
