"""Reports that a mail server delivers by LMTP, to our return path or another address."""

from __future__ import annotations

import smtplib
import socket
import stat
import threading

import pytest
import sqlalchemy as sa

from tests.functional.bounces.test_delivery_reports import ADA, DSN
from tests.sinks import until

pytestmark = pytest.mark.settings(mail_bounce_address="bounce@latchkey.test")

FAILED = DSN.format(action="failed", status="5.1.1").replace("\n", "\r\n")
FROM = "<>"


@pytest.fixture
def path(people, json_wire, mail_to):
    """The envelope sender of a mail to Ada."""
    people.open(email=ADA, methods=["email"])
    json_wire.post("/us-signin/send-code", identity=ADA, chosen_method="email")
    return mail_to(ADA).sender


@pytest.fixture
def listen(app):
    """Accepts mail until the test ends; returns the port."""
    from app.bounces import lmtp

    stop, bound = threading.Event(), socket.create_server(("127.0.0.1", 0))
    port = bound.getsockname()[1]
    thread = threading.Thread(target=lmtp.serve, args=(app, bound, stop))
    thread.start()
    yield port
    stop.set()
    thread.join(5)
    assert not thread.is_alive()


@pytest.fixture
def mail_server(listen):
    """A mail server that is connected; it still is when the service stops."""
    server = smtplib.LMTP("127.0.0.1", listen, timeout=10)
    yield server
    server.close()


def reaches(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def run(app, address: str):
    return app.test_cli_runner().invoke(args=["bounces", "listen", address])


def kept(rows) -> list[tuple[str, str]]:
    from app.outbox.models import Bounce

    return [(row.kind, row.code) for row in rows(Bounce)]


@pytest.mark.both_databases
def test_lmtp_report_counts_once_and_suppresses_the_original_recipient(mail_server, path, rows):
    from app.outbox.models import Suppression

    for _ in range(2):
        assert mail_server.sendmail(FROM, [path], FAILED) == {}
    assert kept(rows) == [("hard", "5.1.1")]
    assert [row.masked for row in rows(Suppression)] == ["a...@example.com"]


def test_forged_return_path_is_rejected_at_rcpt(mail_server, path, rows):
    forged = [path.replace("latchkey.test", "evil.example"), path.replace("bounce+", "bounce+a"), ADA]
    mail_server.ehlo_or_helo_if_needed()
    for address in forged:
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            mail_server.sendmail(FROM, [address], FAILED)
        assert refused.value.recipients == {address: (550, b"5.1.1 No return path of ours")}
    assert kept(rows) == []


@pytest.mark.both_databases
def test_report_for_a_deleted_message_is_rejected(mail_server, path, rows, app):
    from app.extensions import db

    with app.app_context():
        db.session.execute(sa.text("DELETE FROM message"))
        db.session.commit()
    with pytest.raises(smtplib.SMTPDataError, match="No return path of ours"):
        mail_server.sendmail(FROM, [path], FAILED)
    assert kept(rows) == []


def test_second_recipient_of_an_lmtp_transaction_is_deferred(mail_server, path):
    assert mail_server.sendmail(FROM, [path, path.upper()], FAILED) == {
        path.upper(): (452, b"4.5.3 One recipient at a time")
    }


@pytest.mark.both_databases
def test_lmtp_report_during_a_database_failure_is_deferred(mail_server, path, rows, monkeypatch):
    from app.extensions import db

    def away() -> None:
        raise sa.exc.OperationalError("COMMIT", {}, Exception("gone"), connection_invalidated=True)

    with monkeypatch.context() as patched:
        patched.setattr(db.session, "commit", away)
        with pytest.raises(smtplib.SMTPDataError, match=r"4\.3\.0 Try again later"):
            mail_server.sendmail(FROM, [path], FAILED)
    assert kept(rows) == []
    assert mail_server.sendmail(FROM, [path], FAILED) == {}
    assert kept(rows) == [("hard", "5.1.1")]


@pytest.mark.one_database
def test_oversized_lmtp_message_is_rejected_and_the_next_one_accepted(mail_server, path, rows):
    mail_server.ehlo_or_helo_if_needed()
    mail_server.esmtp_features.pop("size")  # or it is refused by its size, before it is sent
    with pytest.raises(smtplib.SMTPDataError, match="Too much mail data"):
        mail_server.sendmail(FROM, [path], FAILED + ("x" * 900 + "\r\n") * 12_000)
    assert mail_server.sendmail(FROM, [path], FAILED + "y" * 20_000 + "\r\n") == {}
    assert kept(rows) == [("hard", "5.1.1")]


@pytest.mark.one_database
def test_listener_accepts_lhlo_and_rejects_ehlo(mail_server):
    assert mail_server.docmd("EHLO", "mx.example.com")[0] == 500
    assert mail_server.docmd("LHLO", "mx.example.com")[0] == 250


@pytest.mark.one_database
def test_bounces_listen_replaces_a_stale_socket_with_mode_660(app, path, rows, tmp_path, monkeypatch):
    """One that a dead process left behind is replaced."""
    from app import shutdown

    stop, socket_path = threading.Event(), tmp_path / "lmtp.sock"
    monkeypatch.setattr(shutdown, "event_set_by", lambda *_signals: stop)
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(socket_path))
    ended = []
    thread = threading.Thread(target=lambda: ended.append(run(app, f"unix:{socket_path}")))
    thread.start()
    try:
        until(lambda: reaches(str(socket_path)), 5)
        assert stat.S_IMODE(socket_path.stat().st_mode) == 0o660
        with smtplib.LMTP(str(socket_path), timeout=10) as server:
            assert server.sendmail(FROM, [path], FAILED) == {}
    finally:
        stop.set()
        thread.join(5)
    assert ended[0].exit_code == 0, ended[0].output
    assert not socket_path.exists()
    assert kept(rows) == [("hard", "5.1.1")]


@pytest.mark.one_database
def test_bounces_listen_reports_a_used_or_invalid_address(app, monkeypatch, tmp_path):
    from app import shutdown

    monkeypatch.setattr(shutdown, "event_set_by", lambda *_signals: threading.Event())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = run(app, f"127.0.0.1:{taken.getsockname()[1]}")
    assert (refused.exit_code, refused.stderr.partition(" at ")[0]) == (69, "Can't listen")
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(tmp_path / "lmtp.sock"))
        taken.listen()
        assert run(app, f"unix:{tmp_path}/lmtp.sock").exit_code == 69
    nonsense = run(app, "localhost")
    assert nonsense.exit_code == 1
    assert "unix:/run/latchkey/lmtp.sock" in nonsense.stderr


@pytest.mark.one_database
@pytest.mark.settings(mail_bounce_address="")
def test_bounces_listen_requires_a_bounce_address(app):
    refused = app.test_cli_runner().invoke(args=["bounces", "listen"])
    assert refused.exit_code == 1
    assert "LATCHKEY_MAIL_BOUNCE_ADDRESS" in refused.stderr
