"""How much work a training is, as far as its order among others needs to be known."""

from generator.spec import Spec

__all__ = ["training_cost"]

PER_BATCH = 2e7  # multiplications a core would do in the time a batch costs, however small the net


def training_cost(spec: Spec) -> float:
    """Return roughly the multiplications of a spec's training, to begin the longest jobs first."""
    solver = spec.solver
    widths = [
        spec.rnn.widths if spec.rnn and spec.has_rnn else [],
        spec.fnn.widths if spec.fnn and spec.has_fnn else [],
    ]
    states = spec.window + 1
    hidden = states * sum(2 * width * width for width in widths[0]) + sum(width * width for width in widths[1])
    outputs = spec.items * sum(each[-1] for each in widths if each) * (states if spec.loss == "every" else 1)
    return float(
        spec.ensemble * solver.max_iter * solver.iter_size * (PER_BATCH + solver.batch_size * (hidden + outputs))
    )
