"""/admin: what needs attention is seen first."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app import clock as app_clock
from app.outbox import Message


@pytest.fixture
def worker(app):
    """A worker that is alive."""
    from app.extensions import db
    from app.outbox import jobs

    with app.app_context():
        jobs.beat("0" * 32)
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
        "Messages were given up": "given_up",
    }  # fmt: skip
    found = [code for text, code in said.items() if text in answer.text]
    assert bool(found) != ("All is well" in answer.text)
    return found


def test_all_is_well_with_a_worker_and_nothing_waiting(console, worker):
    assert codes(console) == []


def test_a_service_without_workers_says_so(console):
    assert codes(console) == ["no_worker"]


def test_messages_that_are_late_are_told(console, worker, write):
    write(next_attempt_at=app_clock.now() - timedelta(seconds=30))
    assert codes(console) == []
    write(next_attempt_at=app_clock.now() - timedelta(seconds=90))
    assert codes(console) == ["workers_late"]


def test_what_is_tried_again_or_was_given_up_is_told(console, worker, write):
    write(attempts=1, last_error="451", next_attempt_at=app_clock.now() + timedelta(minutes=5))
    write(attempts=1, state="abandoned", last_error="550")
    assert codes(console) == ["retrying", "given_up"]


def test_a_clock_that_is_off_is_told(console, worker, monkeypatch):
    monkeypatch.setattr(app_clock, "correction", lambda: -2.5)
    assert codes(console) == ["clock_off"]
