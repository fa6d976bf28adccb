"""The development mailbox, from the mail server to the page."""

from __future__ import annotations

import json
import re
import smtplib
import urllib.error
import urllib.request
from email.message import EmailMessage

import pytest

from app.dev_inbox import views
from app.dev_inbox.mail_catcher import StoredMessage
from tests.messages import teach
from tests.sinks import until

pytestmark = pytest.mark.one_database


@pytest.fixture
def store(tmp_path):
    """A mailbox for this test alone."""
    from app.dev_inbox.mail_catcher import Store

    return Store(tmp_path / "inbox")


@pytest.fixture
def sink(store):
    """A mail server and an SMS provider that fill it."""
    from app.dev_inbox.mail_catcher import MailCatcher

    with MailCatcher(store) as sink:
        yield sink


@pytest.fixture
def app(make_app, clock, monkeypatch, store):
    """An application that shows it."""
    monkeypatch.setattr(views, "store_of", lambda settings: store)
    return make_app()


def send_mail(sink, subject="Your code K7Q2", html="<html><head></head><body>code <b>1234</b></body></html>"):
    """Send an email by SMTP, as any program would."""
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = subject, "no-reply@latchkey.test", "ada@example.com"
    mail.set_content("code 1234 für dich\n")
    if html:
        mail.add_alternative(html, subtype="html")
    with smtplib.SMTP("127.0.0.1", sink.mail_port, timeout=5) as client:
        client.send_message(mail)


def send_text(sink, body):
    """Post a text message; return the status of the answer."""
    request = urllib.request.Request(sink.sms_url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def listed(client):
    """Return the messages as a program sees them."""
    return client.get("/dev/inbox", headers={"Accept": "application/json"}).json["response"]["messages"]


def test_empty_inbox_is_listed(client):
    assert client.get("/dev/inbox").status_code == 200
    assert listed(client) == []


@pytest.mark.parametrize("path", ["/dev/inbox", "/dev/inbox/1-a", "/dev/inbox/1-a/html"])
@pytest.mark.parametrize("address", ["192.0.2.7", "::ffff:192.0.2.7", ""])
def test_inbox_returns_404_to_other_machines(client, monkeypatch, path, address):
    monkeypatch.setattr(
        views, "_get", lambda _: StoredMessage("1-a", "mail", "ada@example.com", "", "", "<p>code</p>", 0)
    )
    assert client.get(path).status_code == 200
    assert client.get(path, environ_base={"REMOTE_ADDR": address}).status_code == 404


def test_mails_and_texts_are_listed_newest_first(client, sink):
    send_mail(sink)
    assert send_text(sink, json.dumps({"to": "+16502530000", "text": "code 5678"}).encode()) == 202
    text, mail = listed(client)
    assert (text["channel"], text["to"], text["text"], text["html"]) == ("sms", "+16502530000", "code 5678", False)
    assert (mail["channel"], mail["to"], mail["subject"]) == ("mail", "ada@example.com", "Your code K7Q2")
    assert mail["html"] is True
    assert mail["text"] == "code 1234 für dich\n"
    assert "Your code K7Q2" in client.get("/dev/inbox").text


def test_message_page_shows_text_and_html_frame(client, sink):
    send_mail(sink)
    page = client.get(f"/dev/inbox/{listed(client)[0]['id']}")
    assert page.status_code == 200
    assert "code 1234 für dich" in page.text
    assert "<iframe" in page.text


def test_html_mail_is_served_unchanged_in_a_sandbox(client, sink):
    send_mail(sink, html="<html><head></head><body style='color:red'><script>alert(1)</script></body></html>")
    shown = client.get(f"/dev/inbox/{listed(client)[0]['id']}/html")
    policy = shown.headers["Content-Security-Policy"]
    assert shown.text.startswith('<html><head><base target="_blank"></head><body style=')
    assert "script-src" not in policy
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert "sandbox" in policy
    assert "allow-scripts" not in policy


@pytest.mark.parametrize("path", ["nothing", "..%2Fsecret", "nothing/html", "0000000000000000001-00000000"])
def test_unknown_message_returns_404(client, path):
    assert client.get(f"/dev/inbox/{path}").status_code == 404


def test_a_text_message_has_no_html(client, sink):
    send_text(sink, b'{"to": "+16502530000", "text": "x"}')
    assert client.get(f"/dev/inbox/{listed(client)[0]['id']}/html").status_code == 404


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"not json", b'{"to": "x"}'])
def test_invalid_text_message_is_rejected(client, sink, body):
    assert send_text(sink, body) == 400
    assert listed(client) == []


def test_only_the_newest_200_are_kept(store):
    for number in range(203):
        store.put("sms", "+16502530000", str(number))
    assert [kept.text for kept in store] == [str(number) for number in range(202, 2, -1)]


def test_inbox_cannot_be_enabled_in_production(make_app):
    from app import dev_inbox

    class Production:
        extensions = {"latchkey.settings": type("", (), {"is_production": True})}

    with pytest.raises(RuntimeError, match="production"):
        dev_inbox.init_app(Production())


def test_outbox_message_arrives_in_the_inbox(make_app, clock, sink, store):
    from app import outbox
    from app.extensions import db
    from app.outbox.service import ENQUEUED

    app = make_app(mail_url=sink.mail_url, sms_url=sink.sms_url)
    teach(app, "for_the_mailbox", words)
    with app.app_context():
        outbox.enqueue("for_the_mailbox", "mail", "ada@example.com")
        message_id = db.session().info[ENQUEUED][0]
        db.session.commit()
        assert outbox.deliver(message_id)
    until(lambda: [kept.html for kept in store] == ["<p>hello</p>\n"])


def words(message):
    """Say hello."""
    from app import outbox

    return outbox.EmailMessage("Hello", "hello\n", "<p>hello</p>\n")


@pytest.mark.parametrize(
    ("channel", "text", "code"),
    [
        ("mail", "Your sign-in code for Latchkey:\n\n  1961 6785\n\nIt works until 10:00.", "1961 6785"),
        ("mail", "Your code:\n\n    123 456\n", "123 456"),
        ("sms", "Latchkey: 196167 is your sign-in code.\n\n@id.example.com #196167", "196167"),
        ("mail", "Your code 1961 6785 is no line of its own.", ""),
        ("mail", "Call +1 650 253 0000, or ask for #123456 here.", ""),
        ("mail", "", ""),
    ],
)
def test_code_of_a_message_can_be_copied(client, store, channel, text, code):
    kept = store.put(channel, "ada@example.com", text)
    page = client.get(f"/dev/inbox/{kept.id}").text
    assert re.findall(r'<code id="code"[^>]*>(.*?)</code>', page) == ([code] if code else [])
    assert ('data-copy="code"' in page) is bool(code)


def test_extracted_code_is_not_in_json(client, store):
    """What programs read stays as it was."""
    kept = store.put("mail", "ada@example.com", "1961 6785")
    answer = client.get(f"/dev/inbox/{kept.id}", headers={"Accept": "application/json"}).json["response"]
    assert set(answer["message"]) == {"id", "channel", "to", "subject", "text", "html", "at"}


def test_code_page_does_not_link_to_the_inbox_when_mail_is_sent(browser_wire):
    page = browser_wire.post("/us-signin/send-code", identity="ada@example.com", chosen_method="email")
    assert "data-clock" in page.text
    assert "/dev/inbox" not in page.text
