"""Fixtures: a model repository and a running service; stores of both kinds from served.py."""

from pathlib import Path

import pytest
from served import Drn, mongo, nobody_stays, store, store_url, write_version  # noqa: F401  # fixtures


@pytest.fixture(scope="session")
def repository(tmp_path_factory) -> Path:
    """A model repository with the model shop in version 1."""
    folder = tmp_path_factory.mktemp("repository")
    write_version(folder / "shop", 1, seed=1)
    return folder


@pytest.fixture(scope="session")
def drn(repository, tmp_path_factory):
    """A running service on SQLite."""
    server = Drn(repository, f"sqlite:///{tmp_path_factory.mktemp('store')}/drn.sqlite")
    yield server
    server.stop()
