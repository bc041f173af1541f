"""Names that a plan and its command share; no heavy import, so that help is fast."""

from typing import Literal, get_args

__all__ = ["SAMPLERS", "SamplerName"]

SamplerName = Literal["surrogate", "genetic", "random", "tpe", "gp"]
SAMPLERS: tuple[SamplerName, ...] = get_args(SamplerName)
