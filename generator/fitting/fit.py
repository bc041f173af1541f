"""From a log to a served model: look, choose, try, train, compare, report; each stage is written down once done."""

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generator.data.log.sources import Source
from generator.data.rewindowed import Rewindow, rewindow_folder
from generator.data.store.split import Split
from generator.errors import DrnError, require_package
from generator.files import write_text
from generator.fitting import compare
from generator.fitting.budget import TimeBudget
from generator.fitting.choose import Candidate, rows_of_training, with_iterations
from generator.fitting.draft import Draft, draft
from generator.fitting.facts import Facts
from generator.fitting.journal import FitJournal
from generator.fitting.options import FitOptions, Listener
from generator.fitting.recipes import recipe_for
from generator.fitting.report import write_report
from generator.fitting.trial import trial_folder, trial_spec
from generator.fitting.tuning import tuned
from generator.spec import dump_spec, parse_spec
from generator.spec.schema import Spec
from generator.training.run.folder import prepare
from generator.training.run.generated import Generated
from generator.training.run.snapshots import whole_snapshots
from generator.training.run.train import Result, TrainOptions, train

__all__ = ["Fit", "StoppedError", "fit"]

SPLITS = ("train.h5", "test.h5")


class StoppedError(DrnError):
    """A signal ended a training; what was done is kept.

    Attributes
    ----------
    signal
        Its number.
    """

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal


@dataclass(frozen=True)
class Fit:
    """What a fit came to.

    Attributes
    ----------
    folder
        A run: spec.yaml, data/, models/, report.html, ...
    draft
        What was understood of the log, and the nets that were tried.
    spec
        That of the net that was trained.
    chosen
        The name of the candidate it is, or that `drn tune` began with.
    validation, test
        Reports of `drn evaluate`, as JSON has them: of all candidates and rules on the validation part, of the net
        and all rules on the test part.
    rule
        The best rule on the validation part.
    """

    folder: Path
    draft: Draft
    spec: Spec
    chosen: str
    validation: dict[str, Any]
    test: dict[str, Any]
    rule: str

    def figure(self, method: str, metric: str = compare.METRIC) -> float:
        """Return a figure of a method on the test part."""
        return _figure(self.test, method, metric)

    def verdict(self) -> str:
        """Return in a sentence how the net stands beside the best rule of the test part."""
        rivals = [each["name"] for each in self.test["methods"] if each["kind"] == "baseline"]
        best = max(rivals, key=self.figure)
        gap = next(
            each["metrics"][compare.METRIC]
            for each in self.test["differences"]
            if (each["method"], each["other"]) == (self.spec.name, best)
        )
        stands = "ahead of" if gap["low"] > 0 else "behind" if gap["high"] < 0 else "level with"
        return (
            f"{self.spec.name} is {stands} {best}, the best rule on the test part: {compare.METRIC} "
            f"{self.figure(self.spec.name):.3f} against {self.figure(best):.3f}, "
            f"{gap['value']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}]"
        )

    def behind(self) -> str:
        """Return in a sentence that a rule was ahead on the validation part; empty if none was."""
        if self.chosen == "mixture":
            return "no net that was tried did better than the mixture alone, which leans on the rules"
        gap = _figure(self.validation, self.chosen, compare.METRIC) - _figure(
            self.validation, self.rule, compare.METRIC
        )
        if gap >= 0:
            return ""
        return (
            f"on the validation part {self.rule} was ahead of every net that was tried, by {-gap:.3f} "
            f"{compare.METRIC}: try --tune, more minutes, or serve the rule"
        )


def fit(
    sources: Sequence[Source],
    folder: Path,
    options: FitOptions,
    *,
    resume: bool = False,
    listener: Listener | None = None,
) -> Fit:
    """Fit a net to a log and leave it in ``folder``, ready to serve.

    A fit that is killed at any moment goes on with ``resume`` to the same result, but for the time it takes: where the
    minutes bound the training, how much they hold is measured once, and written down.

    Parameters
    ----------
    sources
        The log.
    folder
        To make: it becomes a run, with spec.yaml, data/, models/, report.html and the journal fit.json.
    options
        What was asked for.
    resume
        Whether ``folder`` holds a fit to go on with.
    listener
        Who hears of it.

    Raises
    ------
    DataError
        The log does not hold, or the folder holds something else.
    SpecError
        An override does not hold.
    StoppedError
        A signal ended a training.
    """
    return _Work(sources, folder, options, listener or Listener(), resume=resume).run()


class _Work:
    """The stages of one fit."""

    def __init__(
        self, sources: Sequence[Source], folder: Path, options: FitOptions, listener: Listener, *, resume: bool
    ) -> None:
        if options.tune:
            require_package("optuna", "--tune")
        self.sources, self.folder, self.options, self.listener = sources, folder, options, listener
        self.trials, self.log = folder / "trials", folder / "trials" / "log"
        self.journal = FitJournal(folder, options.identity(sources), resume=resume)
        self.budget = TimeBudget(60 * options.minutes)

    def run(self) -> Fit:
        """Go through all stages."""
        found = Draft.from_json(self._stage("draft", lambda: draft(self.sources, self.log, self.options).as_json()))
        for line in [*found.lines(), *found.look.doubts]:
            self.listener.note(line)
        epochs = recipe_for(found.facts)[1].epochs
        tried: list[Candidate] = []
        for each in found.candidates:
            tried += [each] if self._try(each, found.facts, epochs, needed=not tried) else []
        judged = self._stage("judge", lambda: self._judge(tried, epochs))
        self.listener.note(_ranking(judged["report"]))
        chosen = next(each for each in found.candidates if each.name == judged["chosen"])
        if self.options.tune:
            chosen = self._tuned(chosen, found.facts, epochs)
            self._try(chosen, found.facts, epochs, needed=True)
        planned = self._stage("plan", lambda: self._plan(chosen, judged, found.facts))
        spec = parse_spec(planned["spec"], "the chosen spec")
        self._stage("data", lambda: self._write_data(spec))
        self._stage("train", lambda: self._train(spec, self.trials / chosen.name))
        final = Candidate(chosen.name, spec, {**chosen.reasons, **planned["reasons"]})
        write_text(self.folder / "spec.yaml", found.spec_text(final))
        compared = self._stage("compare", lambda: self._compare(spec, judged["rule"]))
        whole = Fit(self.folder, found, spec, judged["chosen"], judged["report"], compared["report"], judged["rule"])
        write_report(self.folder / "report.html", whole, compared, final.reasons)
        for done in (self.log, self.trials / "data"):
            shutil.rmtree(done, ignore_errors=True)
        return whole

    def _stage(self, name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        started = time.monotonic()
        found = self.journal.stage(name, lambda: {**work(), "took": time.monotonic() - started})
        self.budget.spend(found["took"])
        return found

    def _try(self, candidate: Candidate, facts: Facts, epochs: float, *, needed: bool) -> bool:
        """Train a candidate on a part of the data; return whether there was time for it, or it is ``needed``."""

        def work() -> dict[str, Any]:
            if needed or candidate.spec.solver.max_iter == 1 or self.budget.allows_another_trial():
                return self._tried(candidate, facts, epochs)
            self.listener.note(f"no time is left to try {candidate.name}")
            return {"tried": False}

        return bool(self._stage(f"try {candidate.name}", work)["tried"])

    def _tried(self, candidate: Candidate, facts: Facts, epochs: float) -> dict[str, Any]:
        data = self._trial_data(candidate.spec, epochs)
        with Split(data / "train.h5") as split:
            share = split.rows / max(rows_of_training(facts, candidate.spec), 1)
        spec = trial_spec(candidate, min(share, 1.0))
        result = self._trained(spec, data, self.trials / candidate.name, f"try {candidate.name}")
        return {"tried": True, "samples_per_second": result.samples_per_second}

    def _trial_data(self, spec: Spec, epochs: float) -> Path:
        return trial_folder(self.log, self.trials / "data", spec, epochs, self.options.seed)

    def _judge(self, tried: Sequence[Candidate], epochs: float) -> dict[str, Any]:
        """Rank the validation rows by all candidates and rules; choose the best candidate."""
        runs = {each.name: self.trials / each.name for each in tried}
        report = compare.compare(runs, self._trial_data(tried[0].spec, epochs), "valid", self.listener)
        best = max(runs, key=lambda name: report[name][compare.METRIC].value)
        return {"chosen": best, "rule": compare.best_rule(report), "report": compare.without_pairs(report, ())}

    def _tuned(self, chosen: Candidate, facts: Facts, epochs: float) -> Candidate:
        """Hand over to `drn tune`; return what it found."""

        def search() -> dict[str, Any]:
            data, minutes = self._trial_data(chosen.spec, epochs), self.options.minutes / 2
            best = tuned(chosen, recipe_for(facts)[1], data, self.trials, minutes)
            return {"spec": dump_spec(best.spec), "reasons": dict(best.reasons)}

        found = self._stage("tune", search)
        return Candidate("tuned", parse_spec(found["spec"], "the tuned spec"), found["reasons"])

    def _plan(self, chosen: Candidate, judged: dict[str, Any], facts: Facts) -> dict[str, Any]:
        """Say how long the chosen net is trained: as its recipe says, or as long as there is time."""
        solver = chosen.spec.solver
        tried = self.journal.stage(f"try {chosen.name}", dict)
        speed = tried.get("samples_per_second", 0) / (solver.batch_size * solver.iter_size)
        test_rows = min(facts.test_rows, compare.SESSIONS * facts.labels / max(facts.sessions, 1))
        kept = 2 * judged["took"] * test_rows / max(judged["report"]["rows"], 1)
        iterations = self.budget.iterations(solver.max_iter, speed, kept) if speed else solver.max_iter
        reasons = {}
        if iterations < solver.max_iter:
            reasons["solver.max_iter"] = (
                f"what {self.options.minutes:g} minutes hold of the {solver.max_iter:,} iterations of the recipe"
            )
            self.listener.note(
                f"{self.options.minutes:g} minutes hold {iterations:,} of {solver.max_iter:,} iterations"
            )
        spec = with_iterations(chosen.spec, iterations)
        return {"spec": dump_spec(spec), "reasons": reasons}

    def _write_data(self, spec: Spec) -> dict[str, Any]:
        """Write the data folder in the windows of the net, as `drn sessions` would have."""
        data = self.folder / "data"
        shutil.rmtree(data, ignore_errors=True)
        rewindow_folder(Rewindow(self.log, data, spec, SPLITS))
        meta = json.loads((self.log / "meta.json").read_text(encoding="utf-8"))
        meta |= {"window": spec.window, "history": spec.history, "bought": spec.bought, "loss": spec.loss}
        for name in SPLITS:
            with Split(data / name) as split:
                meta["splits"][name.removesuffix(".h5")]["rows"] = split.rows
        write_text(data / "meta.json", json.dumps(meta, indent=1, ensure_ascii=False) + "\n")
        return {}

    def _train(self, spec: Spec, trial: Path) -> dict[str, Any]:
        """Train the chosen net on all of the training part; its mixture weighs as the trial's, fitted to others."""
        data = self.folder / "data"
        if not (self.folder / "train.txt").is_file():
            # The folder holds more than a run: it is made one first, as a kill right after that would have left it.
            prepare(spec, Generated.of(spec).files, data, self.folder)
        mixture = trial if spec.head.mix and trial.is_dir() else None
        result = self._trained(spec, data, self.folder, f"train {spec.name}", mixture)
        return {"iterations": result.iterations, "loss": result.loss, "seconds": result.seconds}

    def _trained(self, spec: Spec, data: Path, run: Path, name: str, mixture: Path | None = None) -> Result:
        """Train from the newest snapshot of the run, if it has any; raise StoppedError where a signal ends it."""
        result = train(
            spec,
            data,
            run,
            TrainOptions(resume=bool(whole_snapshots(run)), mix_from=mixture),
            progress=lambda iteration, _loss, _speed: self.listener.progress(name, iteration, spec.solver.max_iter),
        )
        if result.signal:
            raise StoppedError(f"{self.folder}: stopped; go on with --resume", result.signal)
        return result

    def _compare(self, spec: Spec, rule: str) -> dict[str, Any]:
        data = self.folder / "data"
        split = compare.sampled_test(data, spec)
        report = compare.compare({spec.name: self.folder}, data, split, self.listener)
        return {
            "report": compare.without_pairs(report, (spec.name,)),
            "groups": compare.as_json(compare.groups_of(self.folder, rule, data, split)),
            "sessions": compare.as_json(compare.sessions_shown(self.folder, data, split)),
        }


def _figure(report: dict[str, Any], method: str, metric: str) -> float:
    value: float = next(each["metrics"][metric]["value"] for each in report["methods"] if each["name"] == method)
    return value


def _ranking(report: dict[str, Any]) -> str:
    """Return the methods of a report by METRIC, best first, in a line."""
    names = sorted(
        (each["name"] for each in report["methods"]), key=lambda name: -_figure(report, name, compare.METRIC)
    )
    return f"{compare.METRIC} on the validation part: " + ", ".join(
        f"{name} {_figure(report, name, compare.METRIC):.3f}" for name in names
    )
