"""Fixtures: a model repository, a MongoDB server, stores of both kinds, and a running service."""

import signal
from itertools import count
from pathlib import Path

import pytest
from serving import Drn, Mongo, Process, write_version

from generator.serve.store.open import open_store

NUMBERS = count(1)


@pytest.fixture(scope="session", autouse=True)
def nobody_stays():
    """Whatever a failed test left running is ended."""
    yield
    for one in Process.started:
        if one.process.poll() is None:
            one.stop(signal.SIGKILL)


@pytest.fixture(scope="session")
def repository(tmp_path_factory) -> Path:
    """A model repository with the model shop in version 1."""
    folder = tmp_path_factory.mktemp("repository")
    write_version(folder / "shop", 1, seed=1)
    return folder


@pytest.fixture(scope="session")
def mongo(tmp_path_factory):
    """A running server."""
    server = Mongo(tmp_path_factory.mktemp("mongo"))
    yield server
    server.stop(signal.SIGKILL)


@pytest.fixture(params=["sqlite", "mongodb"])
def store_url(request, tmp_path) -> str:
    """The URL of an empty store."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/drn.sqlite"
    return request.getfixturevalue("mongo").url(f"test{next(NUMBERS)}")


@pytest.fixture
def store(store_url):
    """An empty store."""
    opened = open_store(store_url, idle=100)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def drn(repository, tmp_path_factory):
    """A running service on SQLite."""
    server = Drn(repository, f"sqlite:///{tmp_path_factory.mktemp('store')}/drn.sqlite")
    yield server
    server.stop()
