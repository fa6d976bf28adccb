"""Text messages as the provider gets them. Each copy costs money, so they are repeated once at most."""

from __future__ import annotations

import json
import threading
import time
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest

from tests.functional.delivery.conftest import SECRET

TWILIO = {
    "sms_provider": "twilio",
    "twilio_account_sid": "AC/1",
    "twilio_auth_token": "t%41",
    "twilio_sender": "+15005550006",
}


@pytest.fixture
def twilio():
    """A stub of Twilio; ``requests`` has the path, headers and fields of each request."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self.server.requests.append((self.path, dict(self.headers.items()), parse_qs(body)))
            self.send_response(201)
            self.end_headers()

        def log_message(self, *args):
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests = []
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_text_message_is_posted_as_json(post, attempt, row, sms):
    message_id = post("sms", "+16502530000")
    assert attempt(message_id)
    (text,) = sms.texts
    assert text.raw == {"to": "+16502530000", "text": f"Your code is {SECRET}\n@localhost #40719932"}
    assert text.headers["Content-Type"] == "application/json"
    assert text.headers["Idempotency-Key"] == message_id
    assert row(message_id).state == "sent"


def test_failed_text_message_is_retried_once_then_abandoned(post, attempt, clock, sms, row, rows):
    from app.audit import Event

    message_id = post("sms")
    sms.mode = "busy"
    assert not attempt(message_id)
    assert row(message_id).state == "waiting"
    with clock.travel(5.1):
        assert not attempt(message_id)
    assert sms.attempts == 2
    assert row(message_id).state == "abandoned"
    assert row(message_id).last_error == "provider failed (500)"
    assert rows(Event, name="delivery.failed")[0].facts["channel"] == "sms"


def test_retry_carries_the_same_idempotency_key(post, attempt, clock, sms):
    message_id = post("sms")
    sms.mode = "drop"
    assert not attempt(message_id)
    sms.mode = "ok"
    with clock.travel(5.1):
        assert attempt(message_id)
    assert [text.headers["Idempotency-Key"] for text in sms.texts] == [message_id, message_id]


def test_unreachable_provider_is_retried_on_the_long_schedule(post, attempt, clock, sms, row):
    message_id = post("sms")
    sms.down()
    for wait in (0, 1.1, 5.1):
        clock.shift(wait)
        assert not attempt(message_id)
    assert row(message_id).state == "waiting"
    assert row(message_id).last_error == "provider unreachable (ConnectionRefusedError)"
    sms.up()
    clock.shift(30.1)
    assert attempt(message_id)


def test_rejected_text_message_is_abandoned_at_once(post, attempt, sms, row):
    sms.mode = "refuse"
    message_id = post("sms")
    assert not attempt(message_id)
    assert row(message_id).state == "abandoned"
    assert row(message_id).last_error == "provider refused (400)"


@pytest.mark.settings(sms_timeout=0.4, sms_connect_timeout=0.2)
def test_slow_provider_times_out(post, attempt, sms, row):
    sms.mode = "slow"
    message_id = post("sms")
    began = time.monotonic()
    assert not attempt(message_id)
    assert time.monotonic() - began < 1.5
    assert row(message_id).last_error == "timed out"


def test_five_consecutive_failures_pause_the_channel_for_a_minute(post, attempt, clock, sms, row):
    sms.mode = "busy"
    ids = [post("sms") for _ in range(6)]
    for message_id in ids:
        attempt(message_id)
    assert sms.attempts == 5
    rested = row(ids[5])
    assert (rested.state, rested.attempts, rested.last_error) == ("waiting", 0, "channel rests")
    assert 55 < (rested.next_attempt_at - clock.now()).total_seconds() <= 60
    sms.mode = "ok"
    with clock.travel(60.1):
        assert attempt(ids[5])


def test_mail_is_sent_while_the_sms_channel_is_paused(post, attempt, sms, smtp):
    sms.mode = "busy"
    for _ in range(6):
        attempt(post("sms"))
    assert attempt(post("mail"))


def test_twilio_receives_a_form_with_basic_authentication(make_app, clock, twilio):
    from app import outbox
    from app.extensions import db
    from app.outbox.service import ENQUEUED

    app = make_app(twilio_url=f"http://127.0.0.1:{twilio.server_port}", **TWILIO)
    with app.app_context():
        outbox.enqueue("trial", "sms", "+16502530000")
        message_id = db.session().info[ENQUEUED][0]
        db.session.commit()
        assert outbox.deliver(message_id)
    ((path, headers, fields),) = twilio.requests
    assert path == "/2010-04-01/Accounts/AC%2F1/Messages.json"
    assert headers["Authorization"] == "Basic " + b64encode(b"AC/1:t%41").decode()
    assert fields["To"] == ["+16502530000"]
    assert fields["From"] == ["+15005550006"]
    assert SECRET in fields["Body"][0]
    assert json.dumps(headers).count(message_id) == 1
