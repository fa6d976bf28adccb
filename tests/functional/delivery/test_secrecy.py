"""Passcodes aren't stored in plain text, and logs contain neither passcodes nor recipients."""

from __future__ import annotations

import pytest
import structlog

from tests.databases import content_of
from tests.functional.delivery.conftest import SECRET
from tests.logging_kept import logging_kept


@pytest.fixture
def app(make_app, clock, tmp_path):
    """An application whose queue works."""
    return make_app(queue_url=f"sqlite:///{tmp_path}/queue.db")


@pytest.mark.both_databases
def test_passcodes_are_stored_in_neither_database_nor_queue(post, attempt, database, tmp_path, smtp):
    smtp.mode = "busy"
    attempt(post(tag="K7Q2"))
    smtp.mode = "ok"
    attempt(post())
    assert len(smtp.mails) == 1
    kept = repr(database.query("SELECT * FROM message")) + repr(database.query("SELECT * FROM event"))
    assert "ada@example.com" in kept
    for secret in (SECRET, SECRET.replace(" ", "")):
        assert secret not in kept
    for path in tmp_path.iterdir():
        kept = content_of(path)
        assert b"ada@" not in kept
        assert SECRET.encode() not in kept


@pytest.mark.one_database
@pytest.mark.parametrize("name", ["code", "link", "passcode", "password", "secret", "token", "url"])
def test_enqueueing_a_fact_with_a_secret_name_is_rejected(app, name):
    from app import outbox

    with app.app_context(), pytest.raises(ValueError, match="must not keep"):
        outbox.enqueue("trial", "mail", "ada@example.com", **{name: "x"})


@pytest.fixture
def talkative(app, caplog):
    """Every log line of every library, down to debugging."""
    from app.observability import configure_logging

    with logging_kept():
        configure_logging("debug", "json")
        caplog.set_level("DEBUG")
        yield


@pytest.mark.parametrize("mode", ["ok", "busy", "refuse", "drop", "down"])
def test_logs_contain_no_code_address_or_provider_response(post, attempt, smtp, sms, mode, talkative, capfd, caplog):
    for sink in (smtp, sms):
        sink.down() if mode == "down" else setattr(sink, "mode", mode)
    with structlog.testing.capture_logs() as lines:
        attempt(post("mail"))
        attempt(post("sms"))
    ours = [record.getMessage() for record in caplog.records if record.name != "mail.log"]  # the sink's own
    said = repr([lines, ours, capfd.readouterr()])
    assert "a...@example.com" in said
    for secret in (SECRET, "40719932", "ada@example.com", "+16502530000", "Try again later", "No such mailbox"):
        assert secret not in said
