"""`gen-model` from Python."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from generator.api.arguments import PathLike, as_spec

if TYPE_CHECKING:
    from generator.codegen.artefacts import File
    from generator.spec.schema import Spec

__all__ = ["Artefacts", "generate"]


@dataclass(frozen=True)
class Artefacts:
    """The generated files of one spec, written.

    Attributes
    ----------
    folder
        Where they are.
    files
        Name, status (new, changed, unchanged) and bytes of each, by name.
    """

    folder: Path
    files: "tuple[File, ...]"

    def __repr__(self) -> str:
        """Say how many files are where."""
        return f"<{len(self.files)} artefacts in {self.folder}>"


def generate(
    spec: "Spec | PathLike",
    output: PathLike = "generated",
    *,
    groups: Sequence[str] | None = None,
    init: int | None = None,
    templates: PathLike | None = None,
) -> Artefacts:
    """Generate the Caffe and ONNX artefacts of a spec into ``output/NAME``, as `gen-model` does.

    Parameters
    ----------
    spec
        A `Spec`, or its YAML file.
    output
        Folder that gets one folder a spec.
    groups
        Some of caffe, onnx, triton, graph, gradient, binary; all by default.
    init
        Seed of initial weights inside model.onnx; without it the parameters are inputs.
    templates
        Folder of templates that replace drn's of the same name.

    Raises
    ------
    SpecError, TemplateError, ModelError
        The spec or a template does not hold.

    Examples
    --------
    >>> import generator as drn
    >>> drn.generate("arch_specs/rnn.yaml", "build/generated")  # doctest: +SKIP
    <12 artefacts in build/generated/rnn>
    """
    from generator.codegen.artefacts import generate as made
    from generator.codegen.artefacts import write
    from generator.codegen.groups import ALL_GROUPS

    spec = as_spec(spec)
    files = made(spec, ALL_GROUPS if groups is None else groups, init, Path(templates) if templates else None)
    folder = Path(output) / spec.name
    return Artefacts(folder, tuple(write(files, folder)))
