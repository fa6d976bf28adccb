"""Email as the mail server receives it, in every state of that server."""

from __future__ import annotations

import socket

import pytest
import sqlalchemy as sa
import structlog

from app.extensions import db
from app.outbox import Message
from tests.functional.delivery.conftest import SECRET
from tests.messages import teach


def test_mail_is_sent_once_as_text_and_html(post, attempt, row, smtp):
    message_id = post("mail", "ada@example.com", tag="K7Q2", browser="Firefox")
    assert attempt(message_id)
    (mail,) = smtp.mails
    assert mail.to == ["ada@example.com"]
    assert mail.subject == "Your code K7Q2"
    assert SECRET in mail.text
    assert f"<b>{SECRET}</b> für Firefox" in mail.html
    assert row(message_id).state == "sent"
    assert row(message_id).next_attempt_at is None


def test_mail_has_auto_submitted_message_id_and_from_headers(post, attempt, smtp):
    message_id = post()
    attempt(message_id)
    headers = smtp.mails[0].message
    assert headers["Auto-Submitted"] == "auto-generated"
    assert headers["Message-ID"] == f"<{message_id}@localhost>"
    assert headers["From"] == "Latchkey <no-reply@latchkey.test>"
    assert headers.get_content_type() == "multipart/alternative"


def test_sent_mail_is_not_sent_again(post, attempt, smtp):
    message_id = post()
    assert attempt(message_id)
    assert not attempt(message_id)
    assert len(smtp.mails) == 1


def test_retry_after_a_lost_response_is_byte_identical(post, attempt, clock, smtp, row):
    message_id = post()
    smtp.mode = "drop"
    assert not attempt(message_id)
    smtp.mode = "ok"
    with clock.travel(119):
        assert not attempt(message_id), "the server most likely has it"
    with clock.travel(121):
        assert attempt(message_id)
    first, second = smtp.mails
    assert first.raw == second.raw
    assert row(message_id).attempts == 2


def test_mail_is_retried_after_a_refused_connection(post, attempt, clock, smtp, row):
    message_id = post()
    smtp.down()
    assert not attempt(message_id)
    assert row(message_id).state == "waiting"
    assert row(message_id).last_error == "mail server unreachable (ConnectionRefusedError)"
    smtp.up()
    assert not attempt(message_id), "it is not due yet"
    with clock.travel(1.1):
        assert attempt(message_id)


def test_temporary_rejection_is_retried_on_schedule_then_abandoned(post, attempt, clock, smtp, row, rows):
    from app.audit import Event

    message_id = post()
    smtp.mode = "busy"
    waits = []
    while row(message_id).state == "waiting":
        due = row(message_id).next_attempt_at
        waits.append(round((due - clock.now()).total_seconds()))
        clock.shift(max(0.0, (due - clock.now()).total_seconds()) + 0.01)
        attempt(message_id)
    assert waits[:6] == [0, 1, 5, 15, 30, 30]
    assert sum(waits) > 82_000, "for about a day"
    assert row(message_id).state == "abandoned"
    assert row(message_id).last_error == "message refused (451)"
    assert [event.facts["message"] for event in rows(Event, name="delivery.failed")] == [message_id]
    assert smtp.attempts == len(waits)


def test_permanent_rejection_abandons_only_that_message(post, attempt, smtp, row, rows):
    from app.audit import Event

    smtp.modes = {"refused.test": "refuse"}
    bad, good = post(to="nobody@refused.test"), post()
    assert not attempt(bad)
    assert attempt(good)
    assert row(bad).state == "abandoned"
    assert row(bad).attempts == 1
    assert rows(Event, name="delivery.failed")[0].facts["reason"] == "message refused (550)"


def test_expired_message_is_abandoned_unsent(post, attempt, clock, smtp, row):
    from datetime import timedelta

    message_id = post(expires_at=clock.now() + timedelta(seconds=600))
    with clock.travel(600):
        assert not attempt(message_id)
    assert row(message_id).state == "abandoned"
    assert row(message_id).last_error == "expired"
    assert smtp.attempts == 0


def test_no_retry_is_scheduled_after_message_expiry(post, attempt, clock, smtp, row):
    from datetime import timedelta

    expires_at = clock.now() + timedelta(seconds=600)
    message_id = post(expires_at=expires_at)
    smtp.mode = "busy"
    while (due := row(message_id).next_attempt_at) is not None:
        assert due < expires_at
        clock.shift(max(0.0, (due - clock.now()).total_seconds()) + 0.01)
        attempt(message_id)
    assert row(message_id).state == "abandoned"
    assert smtp.attempts > 15, "more often as the end comes nearer"
    assert (expires_at - clock.now()).total_seconds() < 15


@pytest.mark.parametrize(
    "to",
    [
        "ada@example.com, eve@example.com",
        "ada@example.com\r\nBcc: eve@example.com",
        "ada",
        "<ada@example.com>",
        "ä@x.test",
    ],
)
def test_recipient_other_than_a_single_address_is_rejected(post, attempt, smtp, row, to):
    message_id = post(to=to)
    assert not attempt(message_id)
    assert row(message_id).state == "abandoned"
    assert row(message_id).last_error == "recipient isn't one address"
    assert smtp.attempts == 0


def test_line_break_in_the_subject_is_rejected(post, attempt, smtp, row):
    message_id = post(tag="X\r\nBcc: e@x.y")
    assert not attempt(message_id)
    assert row(message_id).last_error == "subject has a line break"
    assert smtp.attempts == 0


def test_decoy_message_is_dropped_unsent(post, attempt, smtp, row):
    message_id = post(decoy=True)
    assert not attempt(message_id)
    assert row(message_id).state == "dropped"
    assert smtp.attempts == 0


def test_message_is_dropped_if_its_renderer_returns_nothing(app, post, attempt, smtp, row):

    teach(app, "trial_moot", say_nothing)
    message_id = post(kind="trial_moot")
    assert not attempt(message_id)
    assert row(message_id).state == "dropped"


@pytest.mark.parametrize("written", [{"kind": "of_the_next_release"}, {"channel": "push"}])
def test_message_of_a_newer_release_is_kept_for_retry(app, post, attempt, row, written):
    message_id = post()
    with app.app_context():
        db.session.execute(sa.update(Message).where(Message.id == message_id).values(**written))
        db.session.commit()
    with structlog.testing.capture_logs() as lines:
        assert not attempt(message_id)
    assert (row(message_id).state, row(message_id).last_error) == ("waiting", "written by a newer release")
    [line] = [line for line in lines if line["log_level"] != "info"]
    assert line["event"] == "message.failed", "it is no error of ours"
    assert "newer release" in line["remedy"]


def say_nothing(message):
    """Render nothing."""


def test_connection_is_reused_for_the_next_batch(post, app, smtp):
    from app.outbox.channels import mail
    from app.outbox.delivery import deliver_all

    ids = [post(to=f"person{number}@example.com") for number in range(5)]
    with app.app_context():
        assert [outcome.state for outcome in deliver_all(ids)] == ["sent"] * 5
        before = mail._this_thread.connection
        assert [outcome.state for outcome in deliver_all([post()])] == ["sent"]
        assert mail._this_thread.connection is before


def test_stale_connection_is_replaced_without_costing_an_attempt(post, attempt, smtp, row):
    assert attempt(post())
    smtp.down()
    smtp.up()
    message_id = post()
    assert attempt(message_id)
    assert row(message_id).attempts == 1


def test_consecutive_batches_use_one_smtp_connection(post, app, smtp):
    from app.outbox.delivery import deliver_all

    ids = [post(to=f"person{number}@example.com") for number in range(6)]
    with app.app_context():
        for batch in (ids[:3], ids[3:]):
            assert {outcome.state for outcome in deliver_all(batch)} == {"sent"}
    assert (len(smtp.mails), smtp.connections) == (6, 1)


def test_connection_lost_between_mails_loses_none(post, app, smtp):
    from app.outbox.channels import mail
    from app.outbox.delivery import deliver_all

    ids = [post(to=f"person{number}@example.com") for number in range(3)]
    with app.app_context():
        deliver_all(ids[:1])
        mail._this_thread.connection.host.sock.shutdown(socket.SHUT_RDWR)
        assert [outcome.state for outcome in deliver_all(ids[1:])] == ["sent"] * 2
    assert [each.to[0] for each in smtp.mails] == [f"person{number}@example.com" for number in range(3)]
    assert smtp.connections == 2


def test_421_on_a_reused_connection_is_retried_on_a_new_connection(post, attempt, smtp, row):
    assert attempt(post())
    smtp.farewells = 1
    message_id = post()
    assert attempt(message_id)
    assert row(message_id).attempts == 1
    assert (len(smtp.mails), smtp.connections) == (2, 2)


def test_421_on_a_new_connection_costs_an_attempt(post, attempt, smtp, row):
    smtp.farewells = 2
    message_id = post()
    assert not attempt(message_id)
    assert (row(message_id).state, row(message_id).last_error) == ("waiting", "message refused (421)")
    assert smtp.connections == 1


def test_sending_mail_does_not_resolve_the_local_host_name(post, attempt, smtp, monkeypatch):
    monkeypatch.setattr("flask_mail.make_msgid", lambda: pytest.fail("this may ask a name server"))
    assert attempt(post())
