"""How Caffe fills a parameter at the start of training.

Source: BVLC Caffe 1.0, filler.hpp.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from generator.caffe.schema import Message
from generator.errors import ModelError

__all__ = ["BlobFiller"]

DRAWN = 1 << 20  # numbers drawn at a time


@dataclass(frozen=True)
class BlobFiller:
    """A FillerParameter; `type` is constant, uniform, gaussian, xavier or msra."""

    type: str
    value: float
    min: float
    max: float
    mean: float
    std: float
    variance_norm: str

    @classmethod
    def of(cls, message: Message, default: float = 0.0) -> "BlobFiller":
        """Return a FillerParameter as a plain value; `default` is the constant where the net states no filler."""
        numbers = {field: getattr(message, field) for field in ("value", "min", "max", "mean", "std")}
        if not message.ListFields():
            numbers["value"] = default
        norms = message.DESCRIPTOR.fields_by_name["variance_norm"].enum_type.values_by_number
        return cls(type=message.type, variance_norm=norms[message.variance_norm].name, **numbers)

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
        """Return a float32 array of `shape`, drawn from Caffe's distribution (not by Caffe's generator).

        xavier is uniform within sqrt(3 / n), msra normal with deviation sqrt(2 / n), where n is `fan(shape)`.

        Raises
        ------
        ModelError
            `type` is none of those above.
        """
        if self.type == "constant":
            return np.full(shape, self.value, np.float32)
        if self.type == "gaussian":
            return _normal(rng, shape, self.mean, self.std)
        if self.type == "uniform":
            return _uniform(rng, shape, self.min, self.max)
        if self.type == "xavier":
            edge = math.sqrt(3 / self.fan(shape))
            return _uniform(rng, shape, -edge, edge)
        if self.type == "msra":
            return _normal(rng, shape, 0.0, math.sqrt(2 / self.fan(shape)))
        raise ModelError(f"filler {self.type!r} is unknown; known: constant, gaussian, uniform, xavier, msra")

    def fan(self, shape: tuple[int, ...]) -> float:
        """Return the n of xavier and msra: fan_in, fan_out or their average, as `variance_norm` says.

        Caffe takes the sizes as they lie, whatever the layer: fan_in is all but the first, fan_out all but the second.
        """
        count = math.prod(shape)
        fan_in = count / shape[0] if shape else 1
        fan_out = count / shape[1] if len(shape) > 1 else count
        return {"FAN_IN": fan_in, "FAN_OUT": fan_out, "AVERAGE": (fan_in + fan_out) / 2}[self.variance_norm]


def _uniform(rng: np.random.Generator, shape: tuple[int, ...], low: float, high: float) -> NDArray[np.float32]:
    """Draw float64 numbers, as one call would, some at a time: all at once they take twice the array's memory."""
    values = np.empty(math.prod(shape), np.float32)
    for begin in range(0, len(values), DRAWN):
        part = values[begin : begin + DRAWN]
        part[:] = rng.uniform(low, high, len(part))
    return values.reshape(shape)


def _normal(rng: np.random.Generator, shape: tuple[int, ...], mean: float, std: float) -> NDArray[np.float32]:
    values = rng.standard_normal(shape, np.float32)
    values *= np.float32(std)
    values += np.float32(mean)
    return values
