"""Reports that mail servers send to our return path."""

from __future__ import annotations

import time

import pytest
import sqlalchemy as sa

ADA = "ada@example.com"

pytestmark = [pytest.mark.settings(mail_bounce_address="bounce@latchkey.test"), pytest.mark.both_databases]

DSN = """\
From: MAILER-DAEMON@mx.example.com
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

Visit http://evil.example now.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.com

Final-Recipient: rfc822; grace@example.com
Action: {action}
Status: {status}
Diagnostic-Code: smtp; 550 {status} evil words

--b--
"""
ARF = """\
Subject: complaint
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: SomeGenerator/1.0
Version: 1

--b--
"""


@pytest.fixture
def path(people, json_wire, mail_to):
    """The envelope sender of a mail to Ada."""
    people.open(email=ADA, methods=["email"])
    json_wire.post("/us-signin/send-code", identity=ADA, chosen_method="email")
    return mail_to(ADA).sender


@pytest.fixture
def read(app):
    return lambda raw, recipient: app.test_cli_runner().invoke(args=["bounces", "read", recipient], input=raw)


@pytest.fixture
def kept(rows):
    def ask():
        from app.outbox.models import Bounce

        return [(row.kind, row.code) for row in rows(Bounce)]

    return ask


def test_return_path_fits_the_local_part_length(path):
    assert path.startswith("bounce+")
    assert path.endswith("@latchkey.test")
    assert len(path.rpartition("@")[0]) <= 64


@pytest.mark.parametrize(
    ("action", "status", "found"),
    [
        ("failed", "5.1.1", [("hard", "5.1.1")]),
        ("Failed", "5.2.2", [("soft", "5.2.2")]),
        ("failed", "4.4.7", [("soft", "4.4.7")]),
        ("delayed", "4.4.1", []),
        ("delivered", "2.0.0", []),
    ],
)
def test_delivery_report_counts_once_for_the_original_recipient(path, read, kept, database, action, status, found):
    for _ in range(2):
        assert read(DSN.format(action=action, status=status), path.upper()).exit_code == 0
    assert kept() == found
    assert "evil" not in str(database.query("SELECT * FROM event")) + str(database.query("SELECT * FROM bounce"))


def test_feedback_report_records_a_complaint(path, read, kept):
    assert read(ARF, path).output == "Taken.\n"
    assert kept() == [("complaint", "")]


@pytest.mark.parametrize("what", ["not-spam", "Not-Spam ", "auth-failure"])
def test_feedback_other_than_abuse_records_no_complaint(path, read, kept, what):
    assert read(ARF.replace("abuse", what), path).output == "Nothing new.\n"
    assert kept() == []


@pytest.mark.one_database
@pytest.mark.parametrize(
    "part", ["Content-Type: message/rfc822\n\n", "Content-Type: multipart/mixed; boundary={0}\n\n--{0}\n"]
)
def test_deeply_nested_mime_parts_are_ignored_without_error(path, read, kept, part):
    """After a temporary error, a mail server would retry the same mail for days."""
    deep = "".join(part.format(at) for at in range(3000))
    assert read(deep + DSN.format(action="failed", status="5.1.1"), path).output == "Nothing new.\n"
    assert kept() == []


@pytest.mark.one_database
def test_report_followed_by_many_mime_parts_is_parsed_quickly(path, read, kept):
    report = DSN.format(action="failed", status="5.1.1").removesuffix("--b--\n")
    began = time.process_time()
    assert read(report + "--b\n\nx\n" * 1_000_000 + "--b--\n", path).output == "Taken.\n"
    assert time.process_time() - began < 5
    assert kept() == [("hard", "5.1.1")]


@pytest.mark.parametrize("raw", ["", "Subject: x\n\nhello", DSN[:200], "\x00\xff"])
def test_mail_that_is_not_a_report_is_ignored(path, read, kept, raw):
    assert read(raw, path).exit_code == 0
    assert kept() == []


def test_forged_return_path_is_rejected(path, read, kept):
    mac = path.partition("@")[0][-1]
    forged = [
        path.replace(f"{mac}@", f"{'a' if mac != 'a' else 'b'}@"), path.replace("latchkey.test", "evil.example"),
        path.replace("bounce+", "bounce+a"), "bounce@latchkey.test", "bounce+@latchkey.test", ADA, "",
        path.replace("bounce+", "other+"),
    ]  # fmt: skip
    for each in forged:
        assert read(DSN.format(action="failed", status="5.1.1"), each).exit_code == 65, each
    assert kept() == []


def test_report_during_a_database_failure_exits_with_tempfail(path, read, kept, monkeypatch):
    from app.extensions import db

    def fail() -> None:
        raise sa.exc.OperationalError("COMMIT", {}, Exception("gone"), connection_invalidated=True)

    def break_down() -> None:
        raise ZeroDivisionError

    for fault in (fail, break_down):
        with monkeypatch.context() as patched:
            patched.setattr(db.session, "commit", fault)
            assert read(DSN.format(action="failed", status="5.1.1"), path).exit_code == 75  # EX_TEMPFAIL
        assert kept() == []
    assert read(DSN.format(action="failed", status="5.1.1"), path).output == "Taken.\n"


def test_report_to_an_expired_return_path_is_rejected(path, read, kept, clock):
    clock.shift(15 * 86400)
    assert read(DSN.format(action="failed", status="5.1.1"), path).exit_code == 65
    assert kept() == []


@pytest.mark.settings(mail_bounce_address="")
def test_return_path_is_the_sender_without_a_bounce_address(path, read):
    assert path == "no-reply@latchkey.test"
    assert read("", "x").exit_code == 1
