"""What to generate of each spec, done for several specs at once where that pays."""

import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from generator.codegen.artefacts import generate, generate_text
from generator.codegen.groups import ALL_GROUPS
from generator.errors import TemplateError
from generator.jobs.cpus import available
from generator.spec.schema import Spec

__all__ = ["Job", "each"]

T = TypeVar("T")

# From so many specs on, processes are started. Each costs its start and, for graphs, the import of onnx, 0.2 to 0.3 s
# together; a spec costs 2 to 5 ms where text alone is made, else 14 to 25 ms.
_ENOUGH_TEXTS = 256
_ENOUGH_GRAPHS = 64


@dataclass(frozen=True)
class Job:
    """The settings of one run of `gen-model`.

    Attributes
    ----------
    groups : the groups of artefacts to make
    init : seed of the weights inside model.onnx; None leaves them out
    templates : a user's folder of templates
    rules : a user's Python file of gradient rules
    """

    groups: tuple[str, ...] = ALL_GROUPS
    init: int | None = None
    templates: Path | None = None
    rules: Path | None = None

    def files(self, spec: Spec) -> dict[str, bytes]:
        """Return the artefacts of ``spec``, binaries among them, by file name."""
        self._prepare()
        return generate(spec, self.groups, self.init, self.templates)

    def texts(self, spec: Spec) -> dict[str, str]:
        """Return the text artefacts of ``spec`` by file name."""
        self._prepare()
        return generate_text(spec, self.groups, self.templates)

    def over(self, make: Callable[[Spec], T], specs: Sequence[Spec]) -> list[T]:
        """Return what ``make`` gives for each of ``specs``, in their order."""
        return each(make, specs, _ENOUGH_GRAPHS if self._graphs else _ENOUGH_TEXTS)

    def _prepare(self) -> None:
        if self.rules and self._graphs:
            _run(self.rules)

    @property
    def _graphs(self) -> bool:
        """Whether a graph is differentiated: the binaries hold the gradient too."""
        return not {"gradient", "binary"}.isdisjoint(self.groups)


def each(make: Callable[[Spec], T], specs: Sequence[Spec], enough: int) -> list[T]:
    """Return ``make`` of each of ``specs``, in their order, by all processors where there are ``enough`` specs."""
    processors = available()
    # A process with threads is not forked: a lock that one of them holds would never open in the fork.
    if processors < 2 or len(specs) < enough or threading.active_count() > 1:
        return [make(spec) for spec in specs]
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    # A fork has everything imported; where the platform has none or advises against it, its own way is taken.
    context = get_context("fork" if sys.platform == "linux" else None)
    workers = min(processors, len(specs))
    with ProcessPoolExecutor(workers, context) as pool:
        return list(pool.map(make, specs, chunksize=-(-len(specs) // (4 * workers))))


@lru_cache
def _run(rules: Path) -> None:
    """Run the user's Python file, which registers its rules by `generator.onnxgraph.gradients.rule`."""
    import runpy

    try:
        runpy.run_path(str(rules))
    except Exception as error:  # it is the user's program: it may fail in any way
        trace, line = error.__traceback__, ""
        while trace:
            if trace.tb_frame.f_code.co_filename == str(rules):
                line = f":{trace.tb_lineno}"
            trace = trace.tb_next
        raise TemplateError(f"{rules}{line}: {type(error).__name__}: {error}") from error
