"""What is generated of a spec, read back: where every training starts from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from generator.caffe.prototxt import learnable, parse_net, parse_solver
from generator.caffe.schema import Message
from generator.caffe.solverstate import TrainingState
from generator.codegen.artefacts import generate
from generator.codegen.net import net_of
from generator.errors import TrainingError
from generator.jobs.memory import require
from generator.onnxgraph.initialise import fill
from generator.onnxgraph.parse import parameter_shapes, parse
from generator.spec.schema import Spec
from generator.training.engine.device_learner import DeviceLearner
from generator.training.engine.exchange import Exchange
from generator.training.engine.graph import threads_for
from generator.training.engine.host_learner import HostLearner
from generator.training.engine.learner import Learner, Start
from generator.training.engine.solver import Array, Rule

__all__ = ["Generated"]


@dataclass(frozen=True)
class Generated:
    """The net and the solver of a spec, as drn generates them.

    Attributes
    ----------
    spec
        The spec.
    files
        Its artefacts by name, the binary graphs among them.
    unmixed
        The inference graph of the net alone, serialised, with nothing mixed with its probabilities.
    net, deploy, solver
        Caffe's messages of train_val, deploy and solver.prototxt.
    shapes
        Of the parameters by name, in the order of ``learnable(net)``.
    gradients
        The outputs of the gradient graph: NAME_grad is that of a whole parameter, NAME_grad_rows of some of its rows.
    """

    spec: Spec
    files: Mapping[str, bytes]
    unmixed: bytes
    net: Message
    deploy: Message
    solver: Message
    shapes: Mapping[str, tuple[int, ...]]
    gradients: frozenset[str]

    @classmethod
    def of(cls, spec: Spec) -> "Generated":
        """Generate the artefacts of ``spec`` and read them."""
        files = generate(spec)
        text = {name: content.decode() for name, content in files.items() if not name.endswith(".onnx")}
        net, deploy = (parse_net(text[name], name) for name in ("train_val.prototxt", "deploy.prototxt"))
        gradient = parse(text["gradient.onnxtxt"], "gradient.onnxtxt")
        declared = parameter_shapes(gradient)
        return cls(
            spec,
            files,
            generate(spec.unmixed, ["onnx", "binary"])["model.onnx"] if spec.seen else files["model.onnx"],
            net,
            deploy,
            parse_solver(text["solver.prototxt"], "solver.prototxt"),
            {parameter.name: declared[parameter.name] for parameter in learnable(net)},
            frozenset(output.name for output in gradient.graph.output),
        )

    @property
    def training_memory(self) -> int:
        """Bytes that weights, solver history and gradients take at least while the net is trained.

        A parameter that is updated whole has a copy of its weights and a gradient as large; a table has neither.
        """
        sizes = {name: math.prod(shape) * np.dtype(np.float32).itemsize for name, shape in self.shapes.items()}
        whole = sum(size for name, size in sizes.items() if f"{name}_grad" in self.gradients)
        sums = sum(sizes.values()) if self.spec.solver.iter_size > 1 else 0
        return (1 + Rule(self.solver).histories) * sum(sizes.values()) + 2 * whole + sums

    def require_memory(self) -> None:
        """Refuse to train a net that takes more memory than there is, before anything is made or written.

        Raises
        ------
        DrnError
            It does.
        """
        what = f"{self.spec.name}: the net's weights, the solver's history and gradients"
        require(self.training_memory, what, "lower widths, pages or items")

    def fresh(self, label: NDArray[np.integer] | None = None) -> dict[str, Array]:
        """Return new weights by name, as the spec's fillers start them from its random_seed.

        With ``init.popularity`` the output's bias follows from ``label``, of the training rows, where it is given.
        """
        weights = fill(self.spec, learnable(self.net), self.shapes, self.spec.solver.random_seed)
        if self.spec.init.popularity and label is not None:
            count = np.bincount(label[label > 0], minlength=len(weights["output_bias"]))
            logarithm = np.log(count + 1.0)
            weights["output_bias"] = (logarithm - logarithm.mean()).astype(np.float32)
        return weights

    def threads(self) -> int:
        """Return the threads that train this net fastest, as `threads_for`: of a sampled output some rows count."""
        spec, candidates = self.spec, net_of(self.spec).candidates
        sampled = {"output_rnn_weight", "output_fnn_weight"} | ({"page_embedding"} if spec.head.tied else set())
        shapes = {
            name: (candidates, *shape[1:]) if candidates and name in sampled else shape
            for name, shape in self.shapes.items()
        }
        states = spec.window + bool(spec.history)
        return threads_for(shapes, spec.solver.batch_size, states, every=spec.loss == "every")

    def learner(
        self,
        weights: Mapping[str, Array],
        *,
        state: TrainingState | None = None,
        threads: int = 0,
        provider: str = "cpu",
        exchange: Exchange | None = None,
    ) -> Learner:
        """Return a learner of this net from ``weights`` on; the rest as of `Start`, `HostLearner`, `DeviceLearner`.

        Raises
        ------
        TrainingError
            If several learners are to train on devices: their gradients are added up in the memory of the CPU.
        """
        if provider == "cpu":
            return HostLearner(self._start(weights, state), threads=threads, exchange=exchange)
        if exchange is not None:
            raise TrainingError(f"several learners train one net on CPUs: leave provider {provider} out")
        return self.device_learner(weights, state=state, threads=threads, provider=provider)

    def device_learner(
        self, weights: Mapping[str, Array], *, state: TrainingState | None = None, threads: int = 0, provider: str
    ) -> DeviceLearner:
        """Return a learner that makes its updates where the provider computes, the CPU's too in the way of a GPU."""
        return DeviceLearner(self._start(weights, state), threads=threads, provider=provider)

    def _start(self, weights: Mapping[str, Array], state: TrainingState | None) -> Start:
        own = self.spec.solver
        return Start(self.files["gradient.onnx"], self.net, self.solver, weights, state, own.warmup, own.lazy)
