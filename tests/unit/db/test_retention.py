"""PRUNERS: what is past its time goes, what lives stays."""

from __future__ import annotations

import pytest

from app.audit import Event
from app.challenges.models import Challenge
from app.db import retention
from app.extensions import db
from app.sessions.models import AuthSession
from app.throttling.models import FailureCounter
from tests import plans
from tests.signed_in import sign_in

DAY = 24 * 3600


@pytest.fixture
def ada(people):
    """Somebody who signs in by mail."""
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
def test_a_row_goes_when_it_is_past_its_time_and_no_sooner(come, prune, rows, clock, model, only, kept):
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


def test_who_is_signed_in_stays_so(come, prune, ada):
    browsers = [come(), come()]
    took = prune()
    assert took == [[]] * len(took) != []
    assert [browser.signed_in_as() for browser in browsers] == [ada.email] * 2


def test_a_session_that_was_ended_goes_a_day_later(come, prune, rows, clock):
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
def test_a_failure_counter_goes_when_it_holds_nothing_more(app, prune, rows, ada, clock, kept, left):
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


def test_a_batch_at_a_time_goes(come, prune, rows, clock, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 2)
    for _ in range(5):
        come()
    clock.shift(2 * DAY)
    assert [2, 2, 1] in prune()
    assert rows(Challenge) == []


def test_every_pruner_finds_old_rows_by_an_index(app):
    from datetime import timedelta

    from app.outbox import leases

    with plans.collected(app) as found:
        leases.prune(timedelta(days=7))
        cleanups = retention.registered_cleanups()
        for each in cleanups:
            each()
    assert len(found) == len(cleanups) + 1
    tables = db.metadata.tables
    whole = [plan for plan in found if any(plans.reads_whole(plan, table) for table in tables)]
    assert whole == []
