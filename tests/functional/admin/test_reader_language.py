"""The console in German: texts stored in English are translated on pages, and unchanged in JSON."""

from __future__ import annotations

import html

import pytest

from app import clock as app_clock
from app.i18n import number_text
from app.outbox import Message
from app.outbox.reasons import reason_text
from tests.signed_in import sign_in

pytestmark = pytest.mark.settings(languages=("en", "de"))


@pytest.fixture
def german(wire, grace):
    """An administrator's console in German."""
    console = sign_in(wire, grace)
    assert console.post("/language", language="de").ok
    return console


def words(answer) -> str:
    """Return a page's text in one line."""
    return " ".join(html.unescape(answer.text).split())


@pytest.fixture
def given_up(app):
    """Stores a message that was given up for a reason."""

    def write(reason: str) -> None:
        from app.extensions import db

        row = {"kind": "code", "channel": "mail", "to": "ada@example.com", "facts": {}, "destination": "example.com"}
        row |= {"created_at": app_clock.now(), "state": "abandoned", "attempts": 1, "next_attempt_at": None}
        with app.app_context():
            db.session.add(Message(**row, last_error=reason))
            db.session.commit()

    return write


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("recipient refused (550 5.1.1)", ">Empfänger abgelehnt (550 5.1.1)<"),
        ("expired (mail server not ready (451))", ">abgelaufen (Mailserver nicht bereit (451))<"),
        ("something that a later release says", 'lang="en" dir="ltr">something that a later release says<'),
    ],
)
def test_delivery_error_is_translated_on_the_page_and_raw_in_json(german, given_up, stored, shown):
    given_up(stored)
    answer = german.get("/admin/outbox")
    if german.language == "json":
        assert answer.json["messages"][0]["reason"] == stored
    else:
        assert shown in words(answer)


def test_audit_events_are_translated_beside_their_event_name(german, ada):
    german.post(f"/admin/people/{handle_of(german, ada)}/disable")
    answer = german.get("/admin/audit?event=account.disabled")
    if german.language == "json":
        (event,) = answer.json["events"]
        assert (event["event"], set(event["facts"])) == ("account.disabled", {"by"})
    else:
        assert "Konto von der Administration deaktiviert" in words(answer)
        assert '<code class="breakable" dir="ltr">account.disabled</code>' in answer.text
        assert "ausgeführt von <a" in words(answer)


def handle_of(console, person) -> str:
    """Return the handle of an account, as the console finds it."""
    found = console.get(f"/admin/people?q={person.email}")
    if console.language == "json":
        return found.json["people"][0]["handle"]
    return next(link for link in found.page.links if link.startswith("/admin/people/")).rpartition("/")[2]


def test_webhook_event_descriptions_are_translated(german):
    answer = german.get("/admin/webhooks")
    if german.language != "json":
        assert "Ein Konto wurde deaktiviert" in words(answer)
        assert "An account was disabled" not in answer.text
        assert "<code>by</code>" in answer.text


def test_attempt_details_are_translated(german, ada):
    failed = german.elsewhere().post("/us-signin", identity=ada.email, passcode="00000000")
    mark = failed.json.get("support_id") or failed.page.support_id
    answer = german.get(f"/admin/attempts?support_id={mark}")
    if german.language != "json":
        assert "Zweck sign_in" in words(answer)


def test_truncated_reason_is_translated_as_far_as_possible(app):
    with app.test_request_context():
        assert reason_text("expired (recipient refused (550 5.1").text == "expired (recipient refused (550 5.1))"
        assert not reason_text("no such reason").is_known


@pytest.mark.parametrize(("language", "written"), [("en", "12,345"), ("de", "12.345")])
def test_numbers_are_formatted_for_the_locale(app, language, written):
    with app.test_request_context(headers={"Accept-Language": language}):
        assert number_text(12345) == written


def test_delivery_error_in_the_audit_log_is_translated(german, app, ada):
    from app.audit import record
    from app.extensions import db

    with app.test_request_context():
        record("delivery.failed", ada.id, reason="recipient refused (550)", kind="sign_in")
        db.session.commit()
    answer = german.get("/admin/audit?event=delivery")
    if german.language == "json":
        assert answer.json["events"][0]["facts"]["reason"] == "recipient refused (550)"
    else:
        assert "Empfänger abgelehnt (550)" in words(answer)
