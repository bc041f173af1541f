"""The names that `import generator as drn` offers: complete, sorted, lazy, documented, typed."""

import inspect
import subprocess
import sys

import generator as drn


def test_the_names_are_sorted_and_each_is_there():
    assert drn.__all__ == sorted(set(drn.__all__))
    for name in drn.__all__:
        assert getattr(drn, name).__name__ == name
        assert name in dir(drn)


def test_the_verbs_and_the_exceptions_are_among_them():
    verbs = ["evaluate", "generate", "load_spec", "recommend", "serve", "sessions", "simulate", "train", "tune"]
    errors = vars(sys.modules["generator.errors"])
    exceptions = [name for name, each in errors.items() if inspect.isclass(each) and issubclass(each, Exception)]
    assert {*verbs, *exceptions, "Model", "Query", "Spec"} <= set(drn.__all__)


def test_a_verb_stays_a_function_whatever_was_imported():
    for name in drn.__all__:
        assert not inspect.ismodule(getattr(drn, name)), name


def test_the_import_loads_nothing_heavy():
    heavy = ["numpy", "onnx", "onnxruntime", "polars", "pydantic", "yaml", "jinja2", "click"]
    code = f"import sys, generator; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_every_public_thing_has_a_docstring_and_every_verb_an_example():
    for name in drn.__all__:
        each = getattr(drn, name)
        assert inspect.getdoc(each)
        if inspect.isfunction(each) and name != "load_spec":
            assert ">>> " in inspect.getdoc(each), name
            assert "Raises\n------" in inspect.getdoc(each), name


def test_an_unknown_name_is_an_attribute_error():
    try:
        drn.trian  # noqa: B018
    except AttributeError as error:
        assert "trian" in str(error)
    else:
        raise AssertionError("there is no such name")
