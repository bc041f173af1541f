"""What the verbs take: paths as str or Path, a spec or its file."""

import os
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from generator.spec.schema import Spec

__all__ = ["PathLike", "as_spec"]


PathLike: TypeAlias = str | os.PathLike[str]


def as_spec(spec: "Spec | PathLike") -> "Spec":
    """Return ``spec``, read from its YAML file where that is given."""
    if isinstance(spec, str | os.PathLike):
        from generator.spec import load_spec

        return load_spec(spec)
    return spec
