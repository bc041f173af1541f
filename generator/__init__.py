"""drn: a Caffe-style code generator for session recommenders (Wu et al., ICDE 2016).

>>> import generator as drn

The names in ``__all__`` are drn's interface, documented in docs/python.md. Everything else is private: it may change
from one version to the next. A name is imported when it is first used, so that ``import generator`` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from generator.version import __version__ as __version__

if TYPE_CHECKING:
    from generator.api.answers import recommend as recommend
    from generator.api.answers import recommend_log as recommend_log
    from generator.api.answers import serve as serve
    from generator.api.answers import similar as similar
    from generator.api.artefacts import Artefacts as Artefacts
    from generator.api.artefacts import generate as generate
    from generator.api.fits import fit as fit
    from generator.api.logs import DataFolder as DataFolder
    from generator.api.logs import sessions as sessions
    from generator.api.logs import simulate as simulate
    from generator.api.nets import evaluate as evaluate
    from generator.api.nets import train as train
    from generator.api.nets import tune as tune
    from generator.errors import DataError as DataError
    from generator.errors import DrnError as DrnError
    from generator.errors import ModelError as ModelError
    from generator.errors import SpecError as SpecError
    from generator.errors import TemplateError as TemplateError
    from generator.errors import TrainingError as TrainingError
    from generator.evaluation.evaluate import Report as Report
    from generator.fitting.result import Fit as Fit
    from generator.model.answers_file import LogAnswers as LogAnswers
    from generator.model.model import Model as Model
    from generator.model.query import Answer as Answer
    from generator.model.query import Query as Query
    from generator.spec.load import load_spec as load_spec
    from generator.spec.schema import Spec as Spec
    from generator.training.run.train import TrainOptions as TrainOptions

_MODULES = {
    "Answer": "model.query",
    "Artefacts": "api.artefacts",
    "DataError": "errors",
    "DataFolder": "api.logs",
    "DrnError": "errors",
    "Fit": "fitting.result",
    "LogAnswers": "model.answers_file",
    "Model": "model.model",
    "ModelError": "errors",
    "Query": "model.query",
    "Report": "evaluation.evaluate",
    "Spec": "spec.schema",
    "SpecError": "errors",
    "TemplateError": "errors",
    "TrainOptions": "training.run.train",
    "TrainingError": "errors",
    "evaluate": "api.nets",
    "fit": "api.fits",
    "generate": "api.artefacts",
    "load_spec": "spec.load",
    "recommend": "api.answers",
    "recommend_log": "api.answers",
    "serve": "api.answers",
    "sessions": "api.logs",
    "similar": "api.answers",
    "simulate": "api.logs",
    "train": "api.nets",
    "tune": "api.nets",
}
__all__ = [
    "Answer",
    "Artefacts",
    "DataError",
    "DataFolder",
    "DrnError",
    "Fit",
    "LogAnswers",
    "Model",
    "ModelError",
    "Query",
    "Report",
    "Spec",
    "SpecError",
    "TemplateError",
    "TrainOptions",
    "TrainingError",
    "evaluate",
    "fit",
    "generate",
    "load_spec",
    "recommend",
    "recommend_log",
    "serve",
    "sessions",
    "similar",
    "simulate",
    "train",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
