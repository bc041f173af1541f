"""drn on a tuned spec, for peers.py: each line is a training of its own, from the first update to the export."""

import tempfile
from pathlib import Path

import numpy as np
from peer_side import TOP, arguments

from generator.evaluation.rows import SplitRows
from generator.model.model import Model
from generator.spec import load_spec
from generator.training.run.train import TrainOptions, train

FIT = 0.5  # epochs of the net that a mixture is fitted with, at most, where the net itself is then trained on all rows


def main() -> None:
    sessions, report, options = arguments()
    data = Path(options["data"])
    sizes = [f"{name}={sessions['items']}" for name in ("pages", "items")]  # part of a log has fewer than its spec says
    settings = [*sizes, *options["set"], f"solver.random_seed={options['seed']}"]

    def make(epochs: float, run: Path, mix_from: Path | None = None) -> None:
        """Train into a folder, as `drn train` does."""
        spec = load_spec(options["spec"], [*settings, f"solver.epochs={epochs}"])
        train(spec, data, run, TrainOptions(threads=options["threads"], mix_from=mix_from))

    def make_of_all(epochs: float, run: Path) -> None:
        """Train on the newest sessions too, to which a mixture is fitted in a shorter training that leaves them out."""
        fitted = run.with_name(f"{run.name}-fitted")
        make(min(epochs, FIT), fitted)
        make(epochs, run, fitted)

    def rank(run: Path) -> np.ndarray:
        model, every = Model(run, threads=options["threads"]), options["every"]
        with SplitRows(data, "test") as rows:
            asked = (each.inputs(model.sizes) for each in rows.batches(128 * every))
            some = ({name: values[::every] for name, values in each.items()} for each in asked)
            return np.concatenate([model.infer(["top_item"], each)[0][:, :TOP] for each in some])

    trained = make_of_all if options["all"] else make
    with tempfile.TemporaryDirectory() as name:
        for epochs in options["epochs"]:
            run = Path(name) / str(epochs)
            report.whole(epochs, lambda epochs=epochs, run=run: trained(epochs, run), lambda run=run: rank(run))


if __name__ == "__main__":
    main()
