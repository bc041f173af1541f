"""Fixtures: stores of both kinds, from served.py."""

from served import mongo, nobody_stays, store, store_url  # noqa: F401  # fixtures
