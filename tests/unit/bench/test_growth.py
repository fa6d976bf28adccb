"""A database filled by SQL statements works with the service."""

from __future__ import annotations

import os

import pytest

from bench.growth import AT_ONCE, WORKS, Filled
from bench.large import Size
from bench.servers import free_port
from tests.logging_kept import logging_kept

USERS = 1000
"""The last one is disabled."""


@pytest.fixture
def filled(database, databases, tmp_path, monkeypatch):
    """The service on a filled database; its mail isn't accepted."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    url = databases.fresh(database.kind, migrated=False).url.replace("postgresql:", "postgresql+psycopg:", 1)
    with logging_kept():  # a benchmark logs nothing below critical
        made = Filled(url, 0, tmp_path, 1, free_port())
        made.fill(Size(USERS, 2 * USERS, USERS, USERS), USERS)
        yield made
        with made.app.app_context():
            from app.extensions import db

            db.session.remove()
            db.engine.dispose()


@pytest.mark.both_databases
def test_users_of_a_generated_database_can_sign_in(filled):
    from app.extensions import db
    from app.sessions.models import AuthSession

    assert filled.count == USERS - 1
    for work in WORKS:
        filled.prepare(work, AT_ONCE)
        filled.play(work, AT_ONCE)
    with filled.app.app_context():
        users = db.session.scalars(db.select(AuthSession.user_id).where(AuthSession.id > USERS)).all()
    assert len(users) == 2 * AT_ONCE, "W1 and W3 open sessions"
