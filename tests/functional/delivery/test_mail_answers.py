"""How long we wait for a mail server, and what is sent again: duplicates are rare, losses never happen."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from datetime import timedelta

import pytest
import structlog

from tests.sinks import until


def seconds_to_wait(row, clock):
    return (row.next_attempt_at - clock.now()).total_seconds()


@pytest.mark.settings(mail_timeout=0.5)
def test_slow_response_after_the_message_data_causes_no_second_copy(post, attempt, smtp, row):
    smtp.mode, smtp.delay = "slow", 1.5
    message_id = post()
    assert attempt(message_id)
    assert (row(message_id).state, row(message_id).attempts, len(smtp.mails)) == ("sent", 1, 1)


@pytest.mark.settings(mail_timeout=0.5, mail_answer_timeout=0.5)
def test_mail_without_a_final_response_is_retried_after_two_minutes(post, attempt, clock, smtp, row):
    smtp.mode = "slow"
    message_id = post()
    began = time.monotonic()
    assert not attempt(message_id)
    assert time.monotonic() - began < 2
    assert (row(message_id).state, row(message_id).last_error) == ("waiting", "timed out")
    assert 115 < seconds_to_wait(row(message_id), clock) <= 120


@pytest.mark.settings(mail_timeout=0.5)
def test_timeout_before_the_message_data_is_retried_within_a_second(post, attempt, clock, smtp, row):
    smtp.hesitation = 2
    message_id = post()
    began = time.monotonic()
    assert not attempt(message_id)
    assert time.monotonic() - began < 1.5
    assert (row(message_id).last_error, len(smtp.mails)) == ("timed out", 0)
    assert seconds_to_wait(row(message_id), clock) <= 1


@pytest.mark.settings(mail_timeout=0.5)
def test_retry_has_a_longer_timeout(post, attempt, clock, smtp, row):
    smtp.hesitation = 1
    message_id = post()
    assert not attempt(message_id)
    with clock.travel(1.1):
        assert attempt(message_id)
    assert row(message_id).attempts == 2


@pytest.mark.settings(mail_timeout=0.5)
def test_retry_has_a_longer_timeout_on_a_reused_connection(post, attempt, clock, smtp, row):
    message_id = post()
    smtp.hesitation = 1
    assert not attempt(message_id)
    smtp.hesitation = 0
    assert attempt(post())
    smtp.hesitation, before = 1, smtp.connections
    with clock.travel(1.1):
        assert attempt(message_id)
    assert (row(message_id).attempts, smtp.connections) == (2, before)


@pytest.mark.both_databases
def test_mail_interrupted_after_its_data_by_a_stop_is_retried_after_two_minutes(post, attempt, clock, smtp, row):
    from app.outbox.channels.attempt import cut_off_all

    smtp.mode, smtp.delay = "slow", 30
    message_id = post()
    trying = threading.Thread(target=attempt, args=(message_id,))
    trying.start()
    until(lambda: smtp.attempts)
    cut_off_all()
    trying.join(5)
    assert not trying.is_alive()
    assert (row(message_id).state, row(message_id).last_error) == ("waiting", "worker stopped")
    assert 115 < seconds_to_wait(row(message_id), clock) <= 120


@pytest.mark.both_databases
@pytest.mark.settings(mail_timeout=5)
def test_mail_interrupted_before_its_data_by_a_stop_counts_no_attempt(post, attempt, clock, smtp, row):
    from app.outbox.channels.attempt import cut_off_all

    smtp.hesitation = 4
    message_id = post()
    trying = threading.Thread(target=attempt, args=(message_id,))
    trying.start()
    until(lambda: smtp.connections)
    cut_off_all()
    trying.join(3)
    assert (row(message_id).state, row(message_id).attempts) == ("waiting", 0)
    assert seconds_to_wait(row(message_id), clock) <= 0


def test_mail_timeouts_stay_within_the_maximum_attempt_time():
    from app.outbox.channels import mail
    from app.outbox.channels.attempt import MAX_ATTEMPT_TIME
    from config.settings import Settings

    answer = min(each.le for each in Settings.model_fields["mail_answer_timeout"].metadata if hasattr(each, "le"))
    assert timedelta(seconds=mail.MAX_TIMEOUT) + answer <= MAX_ATTEMPT_TIME


@pytest.fixture
def mail_server_says(app):
    """Sends through a mail server with these responses: ``mail_server_says(MAIL="550 No")``."""
    servers, before = [], app.extensions["latchkey.settings"]

    def start(**said: str) -> MailServer:
        servers.append(MailServer(said))
        app.extensions["latchkey.settings"] = before.model_copy(update={"mail_url": servers[-1].url})
        return servers[-1]

    yield start
    app.extensions["latchkey.settings"] = before
    for each in servers:
        each.close()


class MailServer:
    """Accepts everything except commands with given responses; ``copies`` counts complete emails."""

    def __init__(self, said: dict[str, str]) -> None:
        self.said = said
        self.copies = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"smtp://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rwb", buffering=0) as talk, suppress(OSError):
            talk.write(b"220 here\r\n")
            while line := talk.readline():
                verb = line[:4].decode().strip().upper()
                talk.write(self.said.get(verb, "354 go on" if verb == "DATA" else "250 yes").encode() + b"\r\n")
                if verb == "DATA":
                    while talk.readline() != b".\r\n":
                        pass
                    self.copies += 1
                    talk.write(self.said.get(".", "250 taken").encode("latin-1") + b"\r\n")


@pytest.mark.parametrize("answer", ["\xff\xfe\x80", "OK", "25", "199 hm", "354 go on", "999 no", "x" * 9000])
def test_malformed_response_to_the_message_data_is_retried_after_two_minutes(
    answer, mail_server_says, post, attempt, clock, row
):
    server = mail_server_says(**{".": answer})
    message_id = post()
    assert not attempt(message_id)
    assert (row(message_id).state, server.copies) == ("waiting", 1)
    assert row(message_id).last_error == "mail server's answer not understood"
    assert 115 < seconds_to_wait(row(message_id), clock) <= 120


def test_rejected_sender_keeps_the_mail_waiting_and_logs_a_remedy(mail_server_says, post, attempt, clock, row):
    server = mail_server_says(MAIL="550 5.7.60 Not your address")
    message_id = post()
    with structlog.testing.capture_logs() as lines:
        assert not attempt(message_id)
    assert (row(message_id).state, row(message_id).last_error) == ("waiting", "sender refused (550 5.7.60)")
    [line] = [line for line in lines if line["event"] == "message.failed"]
    assert "LATCHKEY_MAIL_SENDER" in line["remedy"]
    server.said.clear()
    with clock.travel(1.1):
        assert attempt(message_id)


@pytest.mark.parametrize(
    ("verb", "answer", "reason", "state", "remedy"),
    [
        ("MAIL", "552 5.3.4 Too big", "email larger than the server takes (552 5.3.4)", "abandoned", "100 kB"),
        ("MAIL", "451 4.7.1 Later", "sender refused (451 4.7.1)", "waiting", "log"),
        ("RCPT", "550 5.7.1 Relaying denied", "recipient refused (550 5.7.1)", "abandoned", "relay"),
        ("RCPT", "550 No ada@example.com here", "recipient refused (550)", "abandoned", None),
        ("RCPT", "451 4.7.1 Greylisted", "recipient refused (451 4.7.1)", "waiting", None),
    ],
)
def test_smtp_rejection_is_recorded_with_status_codes_and_remedy(
    verb, answer, reason, state, remedy, mail_server_says, post, attempt, row
):
    mail_server_says(**{verb: answer})
    message_id = post()
    with structlog.testing.capture_logs() as lines:
        assert not attempt(message_id)
    assert (row(message_id).state, row(message_id).last_error) == (state, reason)
    [line] = [line for line in lines if line["event"] == "message.failed"]
    assert remedy in line["remedy"] if remedy else "remedy" not in line
