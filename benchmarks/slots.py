"""Items that training never saw: trivago's click-outs of a day, with slots, without, and with every item known.

    python benchmarks/slots.py                  # about ten minutes on two cores
    python benchmarks/slots.py --seeds 1

The purchase is the item of a session's last click-out, and the views are its earlier ones and all that was done with an
item before (RecSys Challenge 2019, 7 November 2018). The newest 30 % of the sessions are the test split, and nine of
ten items clicked there are new. With --vocabulary all every item of the log has an id, which no shop can give them.
How many pages of the session the mixture reads is chosen on the sessions before, of which the newest 30 % are held out.
"""

import argparse
import tempfile
from pathlib import Path

import polars as pl

from generator.data.build import Options, build
from generator.data.sessions.splits import Division
from generator.evaluation.baselines import choose
from generator.evaluation.evaluate import Report, evaluate
from generator.model.model import Model
from generator.spec.schema import Spec
from generator.training.run.train import TrainOptions, train

LOG = Path(__file__).parents[2] / "shared" / "data" / "trivago" / "sessions_2018-11-07.parquet"
ACTIONS = r"^(clickout item|search for item|interaction item .*)$"
SHOWN = ("HR@1", "HR@20", "MRR@20")
SLOTS = 16
NEWEST = 0.3  # of the sessions, held out
PAGES = (16, 32, 64, 96, 128)  # of the session that the mixture reads: what is tried


def events(path: Path) -> pl.DataFrame:
    """Return the log in the format `events`: what was done with an item is a view of it, the last click-out a buy."""
    log = pl.read_parquet(path).sort("user_id", "session_id", "step", maintain_order=True)
    log = log.filter(pl.col("action_type").str.contains(ACTIONS) & pl.col("reference").str.contains(r"^\d+$"))
    clicked = pl.col("action_type") == "clickout item"
    last = pl.col("step").filter(clicked).max().over("user_id", "session_id")
    return log.select(
        user="user_id",
        session="session_id",
        time="timestamp",
        page="reference",
        event=pl.when(clicked & (pl.col("step") == last)).then(pl.lit("buy")).otherwise(pl.lit("view")),
    )


def spec_of(ids: int, slots: int, seed: int, pages: int = max(PAGES)) -> Spec:
    return Spec.model_validate(
        {
            "name": "trivago",
            "net": "rnn",
            "pages": ids,
            "items": ids,
            "rnn": {"window": 4, "widths": [32]},
            "head": {
                "tied": True,
                "projection": True,
                "skip": True,
                "dropout": 0.2,
                "mix": {"pages": pages},
                "slots": slots,
            },
            "solver": {"type": "Adam", "base_lr": 0.002, "max_iter": 400, "snapshot": 400, "random_seed": seed},
        }
    )


def older(log: pl.DataFrame) -> pl.DataFrame:
    """Return the sessions that are not among the newest, which are tested on."""
    start = pl.col("time").min().over("user", "session")
    begun = log.group_by("user", "session").agg(pl.col("time").min())["time"].sort()
    return log.filter(start < begun[round((1 - NEWEST) * len(begun))])


def chosen(log: pl.DataFrame, folder: Path) -> int:
    """Return how many pages the mixture reads: the most that are level with the best on the newest sessions of ``log``.

    Level is what differs by an interval with 0 in it: no page of a session is left out for a difference that is chance.
    """
    ids = build(log, folder, spec_of(2**20, 0, 0), Options(division=Division(share=NEWEST)))["vocabulary"]["pages"]
    build(log, folder, spec_of(ids, SLOTS, 0), Options(division=Division(share=NEWEST)))
    models = {}
    for pages in PAGES:
        train(spec_of(ids, SLOTS, 1, pages), folder, folder / f"run-{pages}", TrainOptions(threads=1))
        models[str(pages)] = Model(folder / f"run-{pages}")
    report = evaluate(models, folder)
    figures = {one.name: one.metrics["MRR@20"].value for one in report.methods}
    print("pages read, MRR@20 on older sessions:", "  ".join(f"{name}: {value:.4f}" for name, value in figures.items()))
    best = max(figures, key=lambda name: figures[name])
    level = {best}
    for one in report.differences:
        if best in (one.method, one.other) and one.metrics["MRR@20"].low <= 0 <= one.metrics["MRR@20"].high:
            level |= {one.method, one.other}
    return max(map(int, level))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", type=Path, default=LOG, help="the log")
    options = parser.parse_args()
    log = events(options.data)
    with tempfile.TemporaryDirectory() as folder:
        pages = chosen(older(log), Path(folder) / "older")
        for name, vocabulary, slots in (("train", "train", 0), ("slots", "train", SLOTS), ("all", "all", 0)):
            data = Path(folder) / name
            division = Options(division=Division(share=NEWEST), vocabulary=vocabulary)
            ids = build(log, data, spec_of(2**20, 0, 0), division)["vocabulary"]["pages"]
            build(log, data, spec_of(ids, slots, 0), division)
            models = {}
            for seed in range(1, options.seeds + 1):
                run = Path(folder) / f"{name}-{seed}"
                train(spec_of(ids, slots, seed, pages), data, run, TrainOptions(threads=1))
                models[f"net, seed {seed}"] = Model(run)
            show(name, ids, evaluate(models, data, choose("popularity,last-view,recency,frequency")))


def show(name: str, ids: int, report: Report) -> None:
    print(f"\n{name}: {ids:,} ids, {report.rows:,} rows, {report.unknown:,} ask for an item that has no id")
    for method in report.methods:
        figures = "  ".join(f"{metric} {method.metrics[metric].value:.4f}" for metric in SHOWN)
        print(f"{method.name:<14}{figures}")
    first = report.methods[0].name
    for one in report.differences:
        if one.method == first and one.other in ("last-view", "recency", "frequency"):
            gaps = [(metric, one.metrics[metric]) for metric in SHOWN]
            print(
                f"  {first} - {one.other}: "
                + "  ".join(f"{m} {g.value:+.4f} [{g.low:+.4f}, {g.high:+.4f}]" for m, g in gaps)
            )


if __name__ == "__main__":
    main()
