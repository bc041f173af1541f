"""drn on a tuned spec, for peers.py: each line is a training of its own, from the first update to the export."""

import tempfile
from pathlib import Path

import numpy as np
from peer_side import TOP, arguments

from generator.evaluation.rows import SplitRows
from generator.model.model import Model
from generator.spec import load_spec
from generator.training.run.train import TrainOptions, train


def main() -> None:
    sessions, report, options = arguments()
    every = options["every"]
    data = Path(options["data"])
    sizes = [f"{name}={sessions['items']}" for name in ("pages", "items")]  # part of a log has fewer than its spec says
    seed = f"solver.random_seed={options['seed']}"
    with tempfile.TemporaryDirectory() as name:
        for number, epochs in enumerate(options["epochs"]):
            run = Path(name) / str(number)
            spec = load_spec(options["spec"], [*sizes, *options["set"], f"solver.epochs={epochs}", seed])

            def rank(run: Path = run) -> np.ndarray:
                model = Model(run, threads=options["threads"])
                with SplitRows(data, "test") as rows:
                    asked = (each.inputs(model.sizes) for each in rows.batches(128 * every))
                    some = ({name: values[::every] for name, values in each.items()} for each in asked)
                    return np.concatenate([model.infer(["top_item"], each)[0][:, :TOP] for each in some])

            asked = TrainOptions(threads=options["threads"])
            report.whole(epochs, lambda spec=spec, run=run, asked=asked: train(spec, data, run, asked), rank)


if __name__ == "__main__":
    main()
