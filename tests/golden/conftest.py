"""The option that rewrites the expected texts."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="Rewrite the expected texts beside the golden specs.")
