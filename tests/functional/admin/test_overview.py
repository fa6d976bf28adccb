"""/admin: what needs attention comes first."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app import clock as app_clock
from app.admin import overview_views
from app.crypto.encryption import KeyRing
from app.outbox import Message
from app.outbox.models import ProviderHealth
from app.webhooks.models import WebhookEndpoint
from tests.databases import KEY

NEW_KEY = "for-tests-alone-too-9c2e5d71a8f04b36b7d0c3e1f6a59824"


@pytest.fixture
def worker(app):
    """A worker that is alive."""
    from app.extensions import db
    from app.outbox import jobs

    with app.app_context():
        jobs.record_heartbeat("0" * 32)
        db.session.commit()


@pytest.fixture
def write(app):
    """Writes a message: ``write(state="abandoned")``."""

    def add(**fields: object) -> None:
        from app.extensions import db

        row = {"kind": "code", "channel": "mail", "to": "ada@example.com", "destination": "example.com", "facts": {}}
        with app.app_context():
            db.session.add(Message(**(row | fields)))
            db.session.commit()

    return add


def codes(console) -> list[str]:
    """Return what needs attention, in JSON and as the sentences of the page."""
    answer = console.get("/admin")
    assert answer.status == 200
    if console.language == "json":
        return [each["code"] for each in answer.json["attention"]]
    said = {
        "No worker is running": "no_worker", "Messages wait for longer than a minute": "workers_late",
        "clock and the database": "clock_off", "another try at example.com": "retrying",
        "Messages were given up": "given_up", "Key aaaaaaaa is missing": "key_missing",
        "older key": "old_key", "The email server fails": "provider_fails",
        "A webhook endpoint was disabled": "webhook_disabled", "A webhook endpoint takes no events": "webhook_failing",
    }  # fmt: skip
    found = [code for text, code in said.items() if text in answer.text]
    assert bool(found) != ("All is well" in answer.text)
    return found


def test_overview_shows_no_problems_with_a_worker_and_an_empty_outbox(console, worker):
    assert codes(console) == []


def test_overview_reports_missing_workers(console):
    assert codes(console) == ["no_worker"]


def test_overview_reports_overdue_messages(console, worker, write):
    write(next_attempt_at=app_clock.now() - timedelta(seconds=30))
    assert codes(console) == []
    write(next_attempt_at=app_clock.now() - timedelta(seconds=90))
    assert codes(console) == ["workers_late"]


def test_overview_reports_retrying_and_abandoned_messages(console, worker, write):
    write(attempts=1, last_error="451", next_attempt_at=app_clock.now() + timedelta(minutes=5))
    write(attempts=1, state="abandoned", last_error="550")
    assert codes(console) == ["retrying", "given_up"]


def test_overview_reports_clock_skew(console, worker, monkeypatch):
    monkeypatch.setattr(app_clock, "correction", lambda: -2.5)
    assert codes(console) == ["clock_off"]


def test_overview_reports_a_failing_provider_until_it_recovers(console, worker, app):
    def note(**fields: object) -> None:
        from app.extensions import db

        with app.app_context():
            db.session.merge(ProviderHealth(channel="mail", name="primary", reason="refused the sign-in", **fields))
            db.session.commit()

    now = app_clock.now()
    note(failed_at=now, sent_at=now - timedelta(hours=1))
    assert codes(console) == ["provider_fails"]
    note(failed_at=now, sent_at=now + timedelta(seconds=1))
    assert codes(console) == []


def test_overview_reports_failing_and_disabled_webhook_endpoints(console, worker, app):
    from app.extensions import db

    now = app_clock.now()
    with app.app_context():
        for id_, fields in {
            "a": {"failing_since": now, "failures": 1, "last_error": "answered 500"},
            "b": {"disabled_at": now, "disabled_reason": "gone", "failing_since": now},
            "c": {"disabled_at": now, "disabled_reason": "operator", "failing_since": now},
            "d": {},
        }.items():
            row = {"id": id_ * 32, "url": "https://hooks.example.com/in?key=abc", "patterns": "*", "secret": ""}
            db.session.add(WebhookEndpoint(**(row | fields)))
        db.session.commit()
    assert sorted(codes(console)) == ["webhook_disabled", "webhook_failing"]
    assert "key=abc" not in console.get("/admin").text


def test_overview_reports_missing_and_old_encryption_keys_in_use(console, worker, app, people, monkeypatch):
    people.open(email="ada@example.com", methods=["email", "authenticator"])
    assert codes(console) == []
    in_use = {"aaaaaaaa", app.extensions["latchkey.keyring"].kid}
    monkeypatch.setattr(overview_views, "keys_in_use", lambda: in_use)
    assert codes(console) == ["key_missing"]
    monkeypatch.setattr(overview_views, "keyring", KeyRing([NEW_KEY, KEY]))
    monkeypatch.setattr(overview_views, "keys_in_use", lambda: {KeyRing([KEY]).kid})
    assert codes(console) == ["old_key"]
    monkeypatch.setattr(overview_views, "keys_in_use", lambda: {KeyRing([NEW_KEY]).kid})
    assert codes(console) == []
