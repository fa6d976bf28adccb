"""Emails as the mail server gets them: Python's parser reads back what was put in."""

from __future__ import annotations

from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.policy import compat32
from email.utils import getaddresses

import pytest
from jinja2 import Environment
from jinja2.filters import do_wordwrap

pytestmark = pytest.mark.one_database

TEXTS = {
    "plain": "Your code:\n\n    1234 5678\n",
    "accents": "Grüße für Zoë — «été» 漢字 🔑\n",
    "long line": "x" * 1200 + "\nnext",
    "long line with accents": "é " * 900,
    "dots": ".\n..\n.hidden\n",
    "blanks at the end": "tab\t\nblank  \nlast ",
    "equals": "https://x.test/?token=3D&a==\n",
    "nothing": "",
}
SENDERS = {
    "no-reply@acme.example": ("", "no-reply@acme.example"),
    "Acme, Inc. <no-reply@acme.example>": ("Acme, Inc.", "no-reply@acme.example"),
    "sales@acme <no-reply@acme.example>": ("sales@acme", "no-reply@acme.example"),
    "Acme: Login <no-reply@acme.example>": ("Acme: Login", "no-reply@acme.example"),
    "Müller, Söhne <no-reply@acme.example>": ("Müller, Söhne", "no-reply@acme.example"),
    '"A \\"B\\" C" <no-reply@acme.example>': ('A "B" C', "no-reply@acme.example"),
    "漢字" * 30 + ", Ltd. <no-reply@acme.example>": ("漢字" * 30 + ", Ltd.", "no-reply@acme.example"),
    "Long, " * 25 + "<no-reply@acme.example>": (("Long, " * 25).strip(), "no-reply@acme.example"),
    "Acme <no-reply@bücher.example>": ("Acme", "no-reply@xn--bcher-kva.example"),
}


@pytest.fixture
def send(make_app, clock, smtp):
    """Sends one email with any content and sender; returns it as received by the server."""

    def run(to="ada@example.com", subject="Hello", text="Hello\n", html=None, **settings):
        from app import outbox
        from app.outbox.channels import mail

        with make_app(**settings).app_context():
            row = outbox.Message(id="1" * 32, to=to, created_at=clock.now(), attempts=1)
            mail.send(row, outbox.EmailMessage(subject, text, html))
        return smtp.mails[-1]

    return run


def plain(text):
    """Return text as mails have it: no blanks are lost, and the last line ends."""
    return text if text.endswith("\n") else text + "\n"


def written_header(mail, name):
    """Return a header as it went out, its lines joined."""
    return str(message_from_bytes(mail.raw)[name]).replace("\r\n", "")


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_text_and_html_bodies_arrive_unchanged(send, text):
    mail = send(text=text, html=f"<p>{text}</p>")
    assert plain(mail.text) == plain(text)
    assert plain(mail.html) == plain(f"<p>{text}</p>")
    assert mail.raw.isascii()
    assert max(map(len, mail.raw.split(b"\r\n"))) <= 998


def test_boundary_fits_on_a_line_and_separates_only_the_parts(send):
    mail = send(text="=_1111111111111111\n", html="<p>=_1111111111111111</p>")
    assert b'\r\nContent-Type: multipart/alternative; boundary="=_1111111111111111"\r\n' in mail.raw
    assert mail.raw.count(b"=_1111111111111111") == 4
    assert mail.text.strip() == "=_1111111111111111"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Your code: 1234", "quoted-printable"),
        ("Herzliche Grüße aus Köln", "quoted-printable"),
        ("رمزك لتسجيل الدخول هو", "base64"),
    ],
)
def test_text_uses_the_shorter_transfer_encoding(send, text, encoding):
    first, _ = send(text=text, html=f"<p>{text}</p>").message.iter_parts()
    assert first["Content-Transfer-Encoding"] == encoding


@pytest.mark.parametrize(
    "value",
    [
        "Hello",
        "two  blanks ",
        "a, b; c",
        "<1@example.com>",
        "x" * 69,
        "x" * 70,
        "word " * 30,
        "Grüße",
        "one\r\n two",
        "",
    ],
)
def test_header_folding_matches_the_standard_policy(value):
    from app.outbox.channels.mail import POLICY

    standard = compat32.clone(linesep="\r\n", cte_type="7bit", max_line_length=76)
    assert POLICY.fold_binary("To", value) == standard.fold_binary("To", value)


def test_header_injection_in_a_value_is_rejected():
    from app.outbox.channels.mail import POLICY

    with pytest.raises(HeaderParseError):
        POLICY.fold_binary("To", "ada@example.com\r\nBcc: eve@example.com")


@pytest.mark.parametrize(
    "text",
    ["", "short", "word " * 40, "one\n\n  two " + "x" * 90, "https://x.test/" + "a-b" * 40 + " end", "tab\tand  " * 20],
)
def test_mail_text_is_wrapped_like_jinja_wordwrap(text):
    from app.notifications.challenge_emails import wrapped

    assert wrapped(text) == do_wordwrap(Environment(), text, 72, False, None, False)


@pytest.mark.parametrize("sender", SENDERS, ids=range(len(SENDERS)))
def test_sender_name_is_encoded_for_any_characters(send, sender):
    name, address = SENDERS[sender]
    mail = send(mail_sender=sender)
    ((shown, written),) = getaddresses([written_header(mail, "From")])
    assert (str(make_header(decode_header(shown))), written) == (name, address)
    assert mail.sender == address
    assert mail.raw.isascii()


@pytest.mark.parametrize(
    "subject", ["Für " + "dich " * 40 + "!", "🔑 Sign in", "Hello " * 50 + "!", "Sign in to Acme (request 3YM3)"]
)
def test_subject_arrives_unchanged(send, subject):
    assert send(subject=subject).subject == subject


def test_long_address_is_not_folded(send):
    to = "a" * 64 + "@" + ".".join(["b" * 40] * 4) + ".example"
    mail = send(to=to, public_url="https://" + ".".join(["c" * 60] * 3) + ".example", environment="production")
    assert mail.to == [to]
    assert [each.addr_spec for each in mail.message["To"].addresses] == [to]
    assert str(mail.message["Message-ID"]).count("@") == 1


@pytest.mark.parametrize("field", ["to", "subject"])
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\0", "\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_line_breaks_in_recipient_or_subject_are_rejected(send, smtp, field, end):
    from app.outbox.channels.attempt import Failed

    with pytest.raises(Failed) as failed:
        send(**{field: f"ada@example.com{end}Bcc: eve@example.com"})
    assert failed.value.permanent
    assert smtp.attempts == 0
