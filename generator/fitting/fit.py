"""From a log to a served model: look, choose, try, train, compare, report; each stage is written down once done."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from generator.data.log.sources import Source
from generator.data.rewindowed import Rewindow, remove_unfinished, rewindow_folder
from generator.data.store.split import Split
from generator.errors import DrnError
from generator.files import write_text
from generator.fitting import compare
from generator.fitting.budget import TimeBudget
from generator.fitting.choose import Candidate, with_iterations
from generator.fitting.draft import Draft, draft
from generator.fitting.facts import Facts
from generator.fitting.journal import LOCK, FitJournal
from generator.fitting.options import FitOptions, Listener
from generator.fitting.report import write_report
from generator.fitting.result import Fit
from generator.fitting.select import Selected, Selection
from generator.fitting.trial import StoppedError, trained
from generator.jobs.locks import locked
from generator.model.model import Model
from generator.spec import dump_spec, parse_spec
from generator.spec.schema import Spec
from generator.training.run.folder import prepare
from generator.training.run.generated import Generated
from generator.training.run.train import TrainOptions

__all__ = ["StoppedError", "fit"]

SPLITS = ("train.h5", "test.h5")
SAFE = 0.85  # of the seconds of the training that its iterations are planned for: the rate falls before all are made
COMPARED = 1.25  # times what it takes to fit and to rank by all rules, as far as the trials tell


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
    DrnError
        Another process is at work in the folder.
    SpecError
        An override does not hold.
    StoppedError
        A signal ended a training.
    """
    with locked(folder, name=LOCK):
        return _Work(sources, folder, options, listener or Listener(), resume=resume).run()


class _Work:
    """The stages of one fit."""

    def __init__(
        self, sources: Sequence[Source], folder: Path, options: FitOptions, listener: Listener, *, resume: bool
    ) -> None:
        self.sources, self.folder, self.options, self.listener = sources, folder, options, listener
        self.trials, self.log = folder / "trials", folder / "trials" / "log"
        self.journal = FitJournal(folder, options.identity(sources), TimeBudget(60 * options.minutes), resume=resume)

    def run(self) -> Fit:
        """Go through all stages."""
        stage, found = self.journal.stage, self._draft()
        for line in [*found.lines(), *found.look.doubts]:
            self.listener.note(line)
        selection = Selection(self.trials, self.log, found.facts, self.options, self.journal, self.listener)
        selected = selection.best(found.candidates)
        planned = stage("plan", lambda: self._plan(selected, found.facts))
        spec = parse_spec(planned["spec"], "the chosen spec")
        stage("data", lambda: self._write_data(spec))
        trial = self.trials / selected.candidate.name
        done = stage("train", lambda: self._train(spec, trial, planned["seconds"]))
        reasons = {**selected.candidate.reasons, **planned["reasons"], **self._cut_short(spec, done["iterations"])}
        write_text(self.folder / "spec.yaml", found.spec_text(Candidate(selected.candidate.name, spec, reasons)))
        compared = stage("compare", lambda: self._compare(spec, selected.rule, planned["compared"]))
        whole = Fit(self.folder, found, spec, selected, compared["report"])
        write_report(self.folder / "report.html", whole, compared, reasons)
        for spent in (self.log, self.trials / "data"):
            shutil.rmtree(spent, ignore_errors=True)
        return whole

    def _draft(self) -> Draft:
        """Read the log; one that is refused leaves nothing, so that the same command may be given anew."""
        try:
            return Draft.from_json(
                self.journal.stage("draft", lambda: draft(self.sources, self.log, self.options).as_json())
            )
        except DrnError:
            shutil.rmtree(self.trials, ignore_errors=True)
            self.journal.remove()
            raise

    def _plan(self, selected: Selected, facts: Facts) -> dict[str, Any]:
        """Say how long the chosen net is trained, and on how much it is compared: by recipe, or by the time left."""
        solver = selected.candidate.spec.solver
        a_session = COMPARED * selected.ranking * facts.labels / facts.sessions
        room = self.journal.budget.left / 2 - COMPARED * selected.fitting
        compared = int(max(compare.FEWEST, min(compare.SESSIONS, room / a_session)))
        test_rows = min(facts.test_rows, compared * facts.labels / facts.sessions)
        seconds = self.journal.budget.for_training(
            COMPARED * selected.fitting + COMPARED * selected.ranking * test_rows
        )
        speed = selected.speed / (solver.batch_size * solver.iter_size)
        iterations = max(1, min(solver.max_iter, int(SAFE * seconds * speed)))
        reasons = {}
        if iterations < solver.max_iter:
            held = f"{self.options.minutes:g} minutes hold"
            reasons["solver.max_iter"] = f"what {held} of the {solver.max_iter:,} iterations of the recipe"
            self.listener.note(f"{held} {iterations:,} of {solver.max_iter:,} iterations")
        spec = with_iterations(selected.candidate.spec, iterations)
        return {"spec": dump_spec(spec), "reasons": reasons, "seconds": seconds, "compared": compared}

    def _write_data(self, spec: Spec) -> dict[str, Any]:
        """Write the data folder in the windows of the net, as `drn sessions` would have."""
        data = self.folder / "data"
        shutil.rmtree(data, ignore_errors=True)  # what a kill left
        remove_unfinished(self.folder)
        rewindow_folder(Rewindow(self.log, data, spec, SPLITS))
        meta = json.loads((self.log / "meta.json").read_text(encoding="utf-8"))
        meta |= {"window": spec.window, "history": spec.history, "bought": spec.bought, "loss": spec.loss}
        for name in SPLITS:
            with Split(data / name) as split:
                meta["splits"][name.removesuffix(".h5")]["rows"] = split.rows
        write_text(data / "meta.json", json.dumps(meta, indent=1, ensure_ascii=False) + "\n")
        return {}

    def _train(self, spec: Spec, trial: Path, seconds: float) -> dict[str, Any]:
        """Train the chosen net on all of the training part; its mixture weighs as the trial's, fitted to others."""
        data = self.folder / "data"
        if not (self.folder / "train.txt").is_file():
            # The folder holds more than a run: it is made one first, as a kill right after that would have left it.
            prepare(spec, Generated.of(spec).files, data, self.folder)
        options = TrainOptions(seconds=seconds, mix_from=trial if spec.head.mix else None)
        result = trained(spec, data, self.folder, self.listener, options, task=f"train {spec.name}")
        return {"iterations": result.iterations, "loss": result.loss, "seconds": result.seconds}

    def _cut_short(self, spec: Spec, iterations: int) -> dict[str, str]:
        """Return the reason why a training ended before its last iteration, where it did."""
        if iterations == spec.solver.max_iter:
            return {}
        late = (
            f"{self.options.minutes:g} minutes were over at iteration {iterations:,}, sooner than the trial let expect"
        )
        self.listener.note(late)
        return {"solver.max_iter": late}

    def _compare(self, spec: Spec, rule: str, most: int) -> dict[str, Any]:
        data = self.folder / "data"
        split = compare.sampled_test(data, spec, most)
        net, ranks = Model(self.folder), compare.RowRanks({spec.name: "net", rule: rule})
        report = compare.compare({spec.name: net}, data, split, self.listener, ranks).report
        return {
            "report": compare.without_pairs(report, (spec.name,)),
            "groups": compare.as_json(ranks.groups(data)),
            "sessions": compare.as_json(compare.sessions_shown(net, data, split)),
        }
