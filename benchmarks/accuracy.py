"""Accuracy on real and simulated sessions: the nets beside the baselines, and what was hoped for.

    python benchmarks/accuracy.py                            # the four logs of ../shared/data, and the shop
    python benchmarks/accuracy.py --only taobao --seeds 1    # one of them, faster

Each part runs `drn experiment` on its plan in arch_specs/experiments, and keeps its report in the folder given: called
again, it trains only what is missing. Figures are means over seeds; intervals are 95 %, by a paired bootstrap over the
test sessions. Settings were chosen on validation parts of the training sessions.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from generator.experiment.plan import load_plan
from generator.experiment.run import experiment
from generator.jobs.workers import Processes

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
# Plan: the folder of its log below DATA, and its experiments.
PLANS = {
    "yoochoose": ("yoochoose-100k", ["accuracy"]),
    "taobao": ("taobao", ["accuracy"]),
    "retail-beh": ("retail_beh", ["accuracy"]),
    "globo": ("globo", ["accuracy"]),
    "shop": (None, ["accuracy", "nets", "als", "history"]),
}
# Plan: variant, metric, and the least it should reach.
FIGURES = {
    "yoochoose": [
        ("tuned", "HR@20", 0.719),
        ("tuned", "MRR@20", 0.385),
        ("ensemble", "HR@20", 0.724),
        ("ensemble", "MRR@20", 0.386),
        ("sgd", "HR@20", 0.690),
        ("sgd", "MRR@20", 0.373),
    ],
    "taobao": [("tuned", "HR@20", 0.80), ("tuned", "MRR@20", 0.690)],
    "retail-beh": [("tuned", "MRR@20", 0.470), ("tuned", "HR@20", 0.53)],
    "globo": [("tuned", "HR@20", 0.555), ("tuned", "MRR@20", 0.215)],
    "shop": [("mixed", "HR@20", 0.99), ("mixed", "MRR@20", 0.62)],
}
# Plan: the baseline that the subject should be above, its interval without 0.
ABOVE = {"taobao": "frequency", "retail-beh": "recency"}
SHOWN = ("HR@1", "HR@20", "MRR@20")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=PLANS, default=list(PLANS))
    parser.add_argument("--seeds", type=int, help="the first so many of the plan's")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the logs")
    parser.add_argument("--workers", type=int, default=0, help="0: one a core")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/accuracy"))
    options = parser.parse_args()
    engine = Processes(options.workers)
    for name in options.only:
        log, chosen = PLANS[name]
        root = options.data / log if log else None
        if root is not None and not root.is_dir():
            print(f"{name}: skipped, there is no folder {root}")
            continue
        plan = load_plan(ROOT / "arch_specs" / "experiments" / f"{name}.yaml")
        plan = plan.model_copy(update={"seeds": plan.seeds[: options.seeds]})
        document = experiment(
            plan, options.output / name, engine=engine, root=root, only=chosen, progress=progress
        ).as_json()
        show(name, document)
    engine.close()


def progress(done: int, total: int, note: str) -> None:
    print(f"\r{done}/{total} {note:<60}", end="\r", flush=True)


def show(name: str, document: dict) -> None:
    """Print the figures of all methods, and whether the targets are reached."""
    table, data = document["experiments"]["accuracy"], document["data"]
    seeds = len(table["seeds"])
    print(f"\n{document['title']}: {data['test_rows']:,} rows of {data['test_sessions']:,} sessions, {seeds} seeds")
    print(f"{'method':<18}" + "".join(f"{metric:>24}" for metric in SHOWN))
    for row in table["methods"]:
        print(f"{row['name']:<18}" + "".join(f"{between(row['metrics'][metric]):>24}" for metric in SHOWN))
    figures = {
        row["name"]: {metric: found["value"] for metric, found in row["metrics"].items()} for row in table["methods"]
    }
    for variant, metric, least in FIGURES.get(name, ()):
        found = figures[variant][metric]
        print(f"{variant} {metric}: {found:.4f}, target {least}: {verdict(found >= least)}")
    if name in ABOVE:
        ahead(table["comparisons"], [(table["subject"], ABOVE[name])])
    if name == "shop":
        ahead(document["experiments"]["nets"]["comparisons"], None)
        for claim in document["claims"]:
            print(f"{claim['experiment']}: {claim['sentence']}")


def ahead(comparisons: Sequence[dict], pairs: Sequence[tuple[str, str]] | None) -> None:
    """Print the differences of ``pairs`` of methods, of all where None, and whether their intervals exclude 0."""
    for one in comparisons:
        if pairs is None or (one["method"], one["other"]) in pairs:
            gap = one["difference"]
            print(f"{one['method']} - {one['other']}: {between(gap)}, above: {verdict(gap['low'] > 0)}")


def between(figure: dict) -> str:
    return f"{figure['value']:.4f} [{figure['low']:.4f}, {figure['high']:.4f}]"


def verdict(good: bool) -> str:
    return "reached" if good else "missed"


if __name__ == "__main__":
    main()
