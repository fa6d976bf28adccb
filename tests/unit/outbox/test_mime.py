"""Mails as octets: read back by Python's own parser, they say what was put in."""

from __future__ import annotations

from email import message_from_bytes, policy

import pytest

from app.outbox.channels import mime

TEXTS = {
    "plain": "Your code:\n\n    1234 5678\n",
    "accents": "Grüße für Zoë — «été» 漢字 🔑\n",
    "long line": "x" * 1200 + "\nnext",
    "long line with accents": "é " * 900,
    "dots": ".\n..\n.hidden\n",
    "blanks at the end": "tab\t\nblank  \nlast ",
    "foreign line ends": "one\r\ntwo\rthree\n",
    "equals": "https://x.test/?token=3D&a==\n",
    "separators that are no line ends": "a\x0bb\x0cc\x1dd\u2028e\u0085f\n",
    "nothing": "",
}


def read(octets):
    """What a mail program makes of a mail."""
    return message_from_bytes(octets, policy=policy.SMTP)


def said(part):
    """The words of a part, with plain line ends."""
    return part.get_content().replace("\r\n", "\n").removesuffix("\n")


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
@pytest.mark.parametrize("html", [None, "<p>für dich</p>", "<p>for you</p>"])
def test_what_is_written_is_read_back(text, html):
    mail = read(mime.written([("Subject", "Hello")], text, html, "=_b"))
    expected = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")
    assert said(mail.get_body(("plain",))) == expected
    assert (mail.get_body(("html",)) and said(mail.get_body(("html",)))) == html
    assert not [defect for part in mail.walk() for defect in part.defects]


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_every_line_is_ascii_ends_with_crlf_and_is_short_enough(text):
    octets = mime.written([("Subject", "Für " + "dich " * 40)], text, "<p>ü</p>", "=_b")
    assert octets.isascii()
    assert octets.endswith(b"\r\n")
    lines = octets.removesuffix(b"\r\n").split(b"\r\n")
    assert max(map(len, lines)) <= mime.LONGEST_LINE
    assert not any(mark in line for line in lines for mark in b"\r\n")


@pytest.mark.parametrize(
    "text", ["Your code", "Ein Schlüssel für Zoë", "漢字" * 60, "word, " * 40 + "end", "tab\there", "🔑" * 30]
)
def test_a_subject_is_read_back_and_its_lines_are_not_long(text):
    line = mime.header("Subject", text)
    assert read(line.encode() + b"\r\n")["Subject"].replace("\t", " ") == text.replace("\t", " ")
    assert max(map(len, line.split("\r\n"))) <= mime.USUAL_LINE


def test_ascii_goes_as_it_is_and_the_rest_quoted():
    assert b"7bit" in mime.part("short\n", "plain")
    assert b"quoted-printable" in mime.part("für\n", "plain")
    assert b"quoted-printable" in mime.part("x" * 999, "plain")
