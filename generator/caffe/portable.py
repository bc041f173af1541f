"""The weights of deploy.portable.prototxt: those of deploy.prototxt in the layers that all readers of Caffe know."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from generator.caffe.prototxt import learnable
from generator.caffe.schema import Message
from generator.errors import ModelError

__all__ = ["input_sizes", "portable_layers"]

Array = NDArray[np.float32]


def portable_layers(
    deploy: Message, portable: Message, weights: Mapping[str, Array]
) -> list[tuple[Message, list[Array]]]:
    """Return the layers of a portable net with their blobs, a weight and a bias each.

    A layer has what the layer of its name has in the deploy net: an InnerProduct its weight, without the row for slots
    of a tied one, and zeros where it has no bias; the product with a one-hot vector, an Embed there, the table without
    row 0, which is of no id, on its side; a Bias there, an identity matrix and the bias. The trend of a mixture is
    added to the bias of the output.

    Parameters
    ----------
    deploy, portable
        NetParameters of deploy.prototxt and of deploy.portable.prototxt of one spec.
    weights
        The parameters of ``deploy`` by name (`learnable`), in Caffe's shapes; and ``mix_trend``, if it has a mixture.

    Raises
    ------
    ModelError
        A layer of ``portable`` has none in ``deploy``, so they are not of one spec.
    """
    if "mix_trend" in weights:
        weights = {**weights, "output_bias": weights["output_bias"] + weights["mix_trend"]}
    given: dict[str, dict[int, Array]] = {}
    for parameter in learnable(deploy, "TEST"):
        for layer, index in parameter.places:
            given.setdefault(layer, {})[index] = weights[parameter.name]
    kinds = {layer.name: layer.type for layer in deploy.layer}
    found = []
    for layer in portable.layer:
        if layer.type == "InnerProduct":
            # A bag is an Embed and some layers that sum its rows; a tied output may have scores cut off.
            name = layer.name if layer.name in given else f"{layer.name}_rows"
            if name not in given:
                raise ModelError(
                    f"layer {layer.name} of the portable net is not in the deploy net: take both of one spec"
                )
            blobs = _blobs(kinds[name], given[name])
            found.append((layer, [each[: layer.inner_product_param.num_output] for each in blobs]))
    return found


def _blobs(kind: str, given: Mapping[int, Array]) -> list[Array]:
    """Return weight and bias of the InnerProduct that does what a layer of type ``kind`` with blobs ``given`` does."""
    if kind == "Bias":
        return [np.eye(len(given[0]), dtype=np.float32), given[0]]
    weight = np.ascontiguousarray(given[0][1:].T) if kind == "Embed" else given[0]
    return [weight, given.get(1, np.zeros(len(weight), np.float32))]


def input_sizes(net: Message) -> dict[str, int]:
    """Return the values of one row of each Input layer's blob, by name."""
    return {layer.top[0]: int(layer.input_param.shape[0].dim[1]) for layer in net.layer if layer.type == "Input"}
