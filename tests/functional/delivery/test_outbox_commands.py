"""Commands for the outbox: what operators see, and retrying messages that were given up."""

from __future__ import annotations

from datetime import timedelta

import pytest


@pytest.fixture
def flask(app):
    """Runs a command: ``flask("outbox", "list")``."""
    return lambda *words: app.test_cli_runner().invoke(args=words)


@pytest.fixture
def abandoned(post, attempt, smtp):
    """ID of a message that was given up."""
    smtp.mode = "refuse"
    message_id = post()
    attempt(message_id)
    smtp.mode = "ok"
    return message_id


@pytest.mark.both_databases
def test_outbox_list_shows_abandoned_messages_with_reason_and_masked_address(flask, abandoned):
    listed = flask("outbox", "list", "--state", "abandoned")
    assert listed.exit_code == 0
    assert abandoned in listed.output
    assert "message refused (550)" in listed.output
    assert "a...@example.com" in listed.output
    assert "ada@example.com" not in listed.output


@pytest.mark.both_databases
def test_outbox_list_reports_an_empty_outbox(flask):
    assert flask("outbox", "list").output == "No messages.\n"


@pytest.mark.both_databases
def test_outbox_retry_sends_an_abandoned_message(flask, abandoned, attempt, smtp, row):
    done = flask("outbox", "retry", abandoned)
    assert (done.exit_code, done.output) == (0, "1 message will be tried again.\n")
    assert row(abandoned).state == "waiting"
    assert attempt(abandoned)
    assert len(smtp.mails) == 1


@pytest.mark.both_databases
def test_outbox_retry_all_sends_abandoned_messages(flask, abandoned, attempt):
    assert flask("outbox", "retry", "--all").exit_code == 0
    assert attempt(abandoned)


@pytest.mark.both_databases
def test_outbox_retry_rejects_sent_and_expired_messages(flask, post, attempt, clock, row):
    sent = post()
    attempt(sent)
    expired = post(expires_at=clock.now() + timedelta(seconds=10))
    with clock.travel(11):
        attempt(expired)
        done = flask("outbox", "retry", sent, expired)
    assert done.exit_code == 1
    assert "Not abandoned, expired or unknown" in done.output
    assert (row(sent).state, row(expired).state) == ("sent", "abandoned")


def test_outbox_retry_requires_ids_or_all(flask):
    assert flask("outbox", "retry").exit_code == 2
