"""Accounts created directly in the database of a server under test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from flask import Flask

from tests.databases import KEY, Database
from tests.factories import People, Person


@contextmanager
def application_on(database: Database, **different: Any) -> Iterator[Flask]:
    """Yield an application on ``database`` that leaves no connection open."""
    from app.extensions import db

    app = _application(database.url, **different)
    try:
        yield app
    finally:
        with app.app_context():
            db.session.remove()
            db.engine.dispose()


@lru_cache(maxsize=4)
def _application(url: str, **different: Any) -> Flask:
    """Create an application, and keep the last ones, since a test creates accounts one after the other."""
    from app import create_app
    from config.settings import Settings

    values = {"environment": "development", "database_url": url, "secret_keys": KEY, "log_level": "warning"}
    return create_app(Settings(**(values | different)))


def open_one(database: Database, **described: Any) -> Person:
    """Create one account, with the arguments of ``People.open``."""
    with application_on(database) as app:
        return People(app).open(**described)


def open_many(database: Database, count: int, **different: Any) -> list[str]:
    """Create ``count`` accounts that sign in by email; return their addresses."""
    from app.cli.account_creation import open_accounts
    from app.cli.account_drafts import read_draft

    addresses = [f"person{number}@example.com" for number in range(count)]
    with application_on(database, **different) as app, app.app_context():
        for begin in range(0, count, 400):
            drafts = {
                number: read_draft({"email": addresses[number]}) for number in range(begin, min(count, begin + 400))
            }
            assert len(open_accounts(drafts).created) == len(drafts)
    return addresses
