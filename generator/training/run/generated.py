"""What is generated of a spec, read back: where every training starts from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from generator.caffe.prototxt import learnable, parse_net, parse_solver
from generator.caffe.schema import Message
from generator.codegen.artefacts import generate
from generator.codegen.net import net_of
from generator.onnxgraph.initialise import fill
from generator.onnxgraph.parse import parameter_shapes, parse
from generator.spec.schema import Spec
from generator.training.engine.graph import threads_for
from generator.training.engine.learner import Learner
from generator.training.engine.solver import Array

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
    """

    spec: Spec
    files: Mapping[str, bytes]
    unmixed: bytes
    net: Message
    deploy: Message
    solver: Message
    shapes: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, spec: Spec) -> "Generated":
        """Generate the artefacts of ``spec`` and read them."""
        files = generate(spec)
        text = {name: content.decode() for name, content in files.items() if not name.endswith(".onnx")}
        net, deploy = (parse_net(text[name], name) for name in ("train_val.prototxt", "deploy.prototxt"))
        declared = parameter_shapes(parse(text["gradient.onnxtxt"], "gradient.onnxtxt"))
        return cls(
            spec,
            files,
            generate(spec.unmixed, ["onnx", "binary"])["model.onnx"] if spec.seen else files["model.onnx"],
            net,
            deploy,
            parse_solver(text["solver.prototxt"], "solver.prototxt"),
            {parameter.name: declared[parameter.name] for parameter in learnable(net)},
        )

    def fresh(self) -> dict[str, Array]:
        """Return new weights by name, as the spec's fillers start them from its random_seed."""
        return fill(self.spec, learnable(self.net), self.shapes, self.spec.solver.random_seed)

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

    def learner(self, weights: Mapping[str, Array], **options: Any) -> Learner:
        """Return a learner of this net from ``weights``; ``options`` are those of `Learner`."""
        own, gradient = self.spec.solver, self.files["gradient.onnx"]
        return Learner(gradient, self.net, self.solver, weights, warmup=own.warmup, lazy=own.lazy, **options)
