"""What a run has come to: its spec, the weights of its newest model, its vocabularies."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.caffe.prototxt import learnable, parse_net
from generator.caffe.schema import Message
from generator.codegen.net import net_of
from generator.codegen.render import render
from generator.errors import ModelError
from generator.model.find import find_model
from generator.spec import load_spec
from generator.spec.schema import Spec

__all__ = ["VOCABULARIES", "Trained"]

VOCABULARIES = ("pages.txt", "items.txt")


@dataclass(frozen=True)
class Trained:
    """A run, read to be exported.

    Attributes
    ----------
    spec
        Of its spec.yaml; of an ensemble, that of its nets side by side.
    file
        The newest model.onnx, beside which the vocabularies lie.
    texts
        The prototxts of the spec by file name.
    """

    spec: Spec
    file: Path
    texts: dict[str, str]

    @classmethod
    def of(cls, run: Path) -> "Trained":
        """Read the run in the folder ``run``.

        Raises
        ------
        ModelError
            It holds no model, or no spec.yaml.
        """
        file = find_model(run)
        if not (run / "spec.yaml").is_file():
            raise ModelError(f"{run}: holds no spec.yaml; take the folder of a drn train run")
        spec = load_spec(run / "spec.yaml").merged
        return cls(spec, file, render(spec, ["caffe", "portable"]))

    def net(self, name: str) -> Message:
        """Return the NetParameter of a prototxt of the spec."""
        return parse_net(self.texts[name], name)

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """Return the parameters of the nets by name, as the newest model has them.

        Raises
        ------
        ModelError
            The model lacks one: it is of another spec.
        """
        from generator.onnxgraph.initialise import read_weights

        return read_weights(self.file, [one.name for one in learnable(self.net("train_val.prototxt"))])

    def mixture(self) -> dict[str, NDArray[Any]]:
        """Return the tables and numbers of the newest model's mixture by name; none if it has none."""
        from generator.onnxgraph.initialise import read_weights

        names = [name for name, _, _ in net_of(self.spec).mix_parameters]
        return read_weights(self.file, names) if names else {}
