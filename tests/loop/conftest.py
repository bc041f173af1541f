"""Fixtures: stores of both kinds, from serving.py."""

from serving import mongo, nobody_stays, store, store_url  # noqa: F401  # fixtures
