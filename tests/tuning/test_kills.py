"""A run with halving, killed at random moments and torn: it goes on to the history it would have had."""

import multiprocessing
import os
import random
import signal

from generator.tuning.run import tune

HALVED = ("training: {epochs: 2}", "training: {epochs: 3, halving: {factor: 2, rungs: 3}}")
PLAN = (
    HALVED,
    ("sampler: genetic", "sampler: surrogate"),
    ("confirm: null", "confirm: {best: 2, seeds: 2}"),
    ("float: [0.01, 1], log: true", "choice: [0.05, 0.1, 0.2, 1e+30]"),  # some diverge
    ("clip_gradients: 5", "momentum: 0"),
)
KILLS = int(os.environ.get("DRN_TUNE_KILLS", "12"))
FILES = ("history.jsonl", "best.yaml")


def part(plan, data, run, inline, seconds):
    """Go on with the run for some seconds of CPU time; the signal of the timer kills, as no handler is set."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    tune(plan, data, run, engine=inline, resume=True)
    signal.setitimer(signal.ITIMER_PROF, 0)


def torn(path, draw):
    """Tear the end of a file's last line off, as a power cut may."""
    content = path.read_bytes() if path.exists() else b""
    path.write_bytes(content[: len(content) - draw.randrange(30)] if content.count(b"\n") > 1 else content)


def test_a_run_that_is_killed_again_and_again_comes_to_the_same(data, make_plan, inline, tmp_path):
    draw, fork, made, seed = random.Random(1), multiprocessing.get_context("fork"), 0, 0
    while made < KILLS:
        seed += 1
        plan = make_plan(*PLAN).changed(seed=seed)
        run = tmp_path / f"killed-{seed}"
        run.mkdir()
        while True:
            process = fork.Process(target=part, args=(plan, data, run, inline, draw.uniform(0.05, 0.8)))
            process.start()
            process.join()
            if process.exitcode == 0:
                break
            assert process.exitcode == -signal.SIGPROF
            made += 1
            torn(run / "journal.jsonl", draw)
        tune(plan, data, tmp_path / f"whole-{seed}", engine=inline)
        for name in FILES:
            assert (run / name).read_bytes() == (tmp_path / f"whole-{seed}" / name).read_bytes(), f"seed {seed}: {name}"
        assert not (run / "work").exists()
