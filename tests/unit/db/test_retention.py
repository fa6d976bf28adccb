"""Cleanups delete expired rows and keep others."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from app.audit import Event
from app.challenges.models import Challenge
from app.clock import now as clock_now
from app.db import retention
from app.extensions import db
from app.sessions.models import AuthSession
from app.throttling.cleanup import is_unneeded
from app.throttling.models import FailureCounter
from tests import plans
from tests.signed_in import sign_in

pytestmark = pytest.mark.both_databases

DAY = 24 * 3600


@pytest.fixture
def ada(people):
    """Someone who signs in by email."""
    return people.open(email="ada@example.com")


@pytest.fixture
def come(json_wire, ada):
    """Has Ada ask for a code and sign in, from another browser each time: a challenge, a session and events."""

    def visit():
        browser = json_wire.elsewhere()
        assert browser.post("/us-signin/send-code", identity=ada.email, chosen_method="email").ok
        return sign_in(browser, ada)

    return visit


@pytest.fixture
def prune(app):
    """Calls every pruner until there is nothing left for it, as the worker does; returns how many rows each took."""

    def run() -> list[list[int]]:
        with app.app_context():
            return [list(iter(each, 0)) for each in retention.registered_cleanups()]

    return run


@pytest.mark.parametrize(
    ("model", "only", "kept"),
    [(Challenge, {}, DAY + 600), (AuthSession, {"kind": "browser"}, 31 * DAY), (Event, {}, 365 * DAY)],
    ids=["challenge", "session", "event"],
)
def test_rows_are_pruned_after_their_retention_and_not_before(come, prune, rows, clock, model, only, kept):
    come()
    old = {row.id for row in rows(model, **only)}
    clock.shift(kept - 20)
    prune()
    assert {row.id for row in rows(model, **only)} == old
    clock.shift(40)
    come()
    young = {row.id for row in rows(model, **only)} - old
    prune()
    assert {row.id for row in rows(model, **only)} == young != set()


def test_pruning_keeps_active_sessions(come, prune, ada):
    browsers = [come(), come()]
    took = prune()
    assert took == [[]] * len(took) != []
    assert [browser.signed_in_as() for browser in browsers] == [ada.email] * 2


def test_revoked_session_is_pruned_after_a_day(come, prune, rows, clock):
    ended, living = come(), come()
    ended.post("/logout")
    clock.shift(DAY - 20)
    prune()
    assert len(rows(AuthSession)) == 4, "a browser's and a program's for each"
    clock.shift(40)
    prune()
    assert [row.revoked_at for row in rows(AuthSession)] == [None, None]
    assert living.signed_in_as()


@pytest.mark.parametrize(
    ("kept", "left"),
    [
        (DAY - 20, {"browser", "failed", "nobody's", "settled"}),
        (DAY + 20, {"browser", "failed", "nobody's"}),
        (30 * DAY + 20, {"browser", "failed"}),
        (365 * DAY - 20, {"browser", "failed"}),
        (365 * DAY + 20, set()),
    ],
)
def test_failure_counters_are_pruned_once_unneeded(app, prune, rows, ada, clock, kept, left):
    now = clock.now()
    with app.app_context():
        db.session.add(FailureCounter(id="browser", user_id=ada.id, touched_at=now, first_seen_at=now, in_a_row=0))
        db.session.add(FailureCounter(id="failed", user_id=ada.id, touched_at=now, in_a_row=1))
        db.session.add(FailureCounter(id="settled", user_id=ada.id, touched_at=now, in_a_row=0))
        db.session.add(FailureCounter(id="nobody's", touched_at=now, in_a_row=1))
        db.session.commit()
    clock.shift(kept)
    prune()
    assert {row.id for row in rows(FailureCounter)} == left


@pytest.fixture
def counters(app, rows):
    """Stores ten settled failure counters, the last one long ago, and returns the names of those there are."""
    now = clock_now()
    with app.app_context():
        for number in range(10):
            at = now - timedelta(days=2 if number == 9 else 0)
            db.session.add(FailureCounter(id=f"counter {number}", touched_at=at, in_a_row=0))
        db.session.commit()
    return lambda: {row.id[-1] for row in rows(FailureCounter)}


def test_walk_resumes_after_its_last_batch(app, counters, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 3)
    monkeypatch.setattr(retention, "SCAN_TIME", -1)
    walk, old = retention.Walk(FailureCounter), is_unneeded(clock_now())
    with app.app_context():
        looks = [walk.delete_batch(db.session, old) for _ in range(3)]
        assert (looks, counters()) == ([0, 0, 0], set("0123456789"))
        assert (walk.delete_batch(db.session, old), counters()) == (1, set("012345678"))
        db.session.execute(sa.update(FailureCounter).values(touched_at=clock_now() - timedelta(days=2)))
        db.session.commit()
        assert (walk.delete_batch(db.session, old), counters()) == (3, set("345678"))


def test_walk_scans_the_whole_table_within_its_time(app, counters, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 3)
    with app.app_context():
        assert retention.Walk(FailureCounter).delete_batch(db.session, is_unneeded(clock_now())) == 1
    assert counters() == set("012345678")


def test_frequently_updated_failure_columns_are_not_indexed():
    """PostgreSQL adds new entries to all indexes of a row if an indexed column changes."""
    by = {"id", "user_id", "browser"}
    for index in FailureCounter.__table__.indexes:
        assert {column.name for column in index.columns} <= by
        assert index.dialect_options["postgresql"].get("where") is None


def test_rows_are_pruned_in_batches(come, prune, rows, clock, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 2)
    for _ in range(5):
        come()
    clock.shift(2 * DAY)
    assert [2, 2, 1] in prune()
    assert rows(Challenge) == []


def test_every_pruner_uses_an_index(app):
    from app.oidc.client_ends import prune_file_clients, prune_unusable_clients
    from app.oidc.grant_ends import prune_lost_access
    from app.outbox import leases

    with plans.collected(app) as found:
        leases.prune(timedelta(days=7))
        cleanups = retention.registered_cleanups()
        for each in cleanups:
            each()
    silent = [prune_lost_access, prune_file_clients]  # no app here is for groups, and there is no clients file
    twice = [prune_unusable_clients]
    assert len(found) == len(cleanups) + 1 - len(silent) + len(twice)
    tables = db.metadata.tables
    whole = [plan for plan in found if any(plans.reads_whole(plan, table) for table in tables)]
    assert whole == []
