"""Mail with TLS: without a valid certificate, nothing is sent."""

from __future__ import annotations

import ssl

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from tests.certificates import write_certificate

pytestmark = pytest.mark.one_database


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """Paths of a certificate for localhost and of its key."""
    folder = tmp_path_factory.mktemp("tls")
    write_certificate(folder / "cert.pem", folder / "key.pem", "localhost")
    return folder / "cert.pem", folder / "key.pem"


class Taker:
    """Accepts mail and records who authenticated."""

    def __init__(self, password="p@ss:word"):
        self.mails, self.users = [], []
        self.password = password.encode()

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        self.mails.append((server.transport.get_extra_info("cipher"), envelope.content))
        return "250 OK"

    def authenticate(self, server, session, envelope, mechanism, data):
        self.users.append((data.login, data.password))
        return AuthResult(success=data.password == self.password, handled=False)


class Foreign(Taker):
    """Knows one mechanism alone, and that one we do not know."""

    async def auth_XOAUTH2(self, server, args):  # noqa: N802
        raise AssertionError("nobody was to use this")


@pytest.fixture
def serve(certificate, free_port):
    """Starts a mail server: ``serve("smtps")``, ``serve("smtp+starttls")``, ``serve("smtp")``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    running = []

    def start(scheme, *, asks_who=False, knows=("PLAIN", "LOGIN"), password="p@ss:word"):
        taker = (Taker if knows else Foreign)(password)
        options = {"authenticator": taker.authenticate, "auth_require_tls": False} if asks_who else {}
        if asks_who:
            options["auth_exclude_mechanism"] = [name for name in ("PLAIN", "LOGIN") if name not in knows]
        if scheme == "smtps":
            options["ssl_context"] = context
        elif scheme == "smtp+starttls":
            options |= {"tls_context": context, "require_starttls": True}
        running.append(Controller(taker, hostname="localhost", port=free_port(), **options))
        running[-1].start()
        return taker, running[-1].port

    yield start
    for controller in running:
        controller.stop(no_assert=True)


@pytest.fixture
def send(make_app, clock):
    """Sends one email with a mail server's URL; returns its row."""
    from app import outbox
    from app.extensions import db
    from app.outbox.service import ENQUEUED

    def run(url):
        with make_app(mail_url=url, mail_timeout=5).app_context():
            outbox.enqueue("trial", "mail", "ada@example.com")
            message_id = db.session().info[ENQUEUED][-1]
            db.session.commit()
            outbox.deliver(message_id)
            return db.session.get(outbox.Message, message_id)

    return run


@pytest.fixture
def free_port():
    """Returns ports that nothing listens on."""
    from tests.sinks import _free_port

    return _free_port


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
def test_mail_is_sent_over_tls(serve, send, scheme, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    taker, port = serve(scheme)
    assert send(f"{scheme}://localhost:{port}").state == "sent"
    assert taker.mails[0][0] is not None


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
def test_self_signed_certificate_is_rejected(serve, send, scheme):
    taker, port = serve(scheme)
    row = send(f"{scheme}://localhost:{port}")
    assert (row.state, row.last_error) == ("waiting", "mail server's certificate not trusted (self-signed certificate)")
    assert taker.mails == []


def test_certificate_for_another_host_is_rejected(serve, send, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    taker, port = serve("smtps")
    row = send(f"smtps://127.0.0.1:{port}")
    assert row.last_error.startswith("mail server's certificate not trusted (IP address mismatch")
    assert taker.mails == []


def test_server_without_starttls_gets_no_mail_if_starttls_is_required(serve, send):
    taker, port = serve("smtp")
    row = send(f"smtp+starttls://localhost:{port}")
    assert (row.state, row.last_error) == ("waiting", "mail server offers no STARTTLS")
    assert taker.mails == []


def test_smtp_credentials_are_taken_from_the_url(serve, send, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    taker, port = serve("smtps", asks_who=True)
    assert send(f"smtps://mailer:p%40ss%3Aword@localhost:{port}").state == "sent"
    assert taker.users == [(b"mailer", b"p@ss:word")]


def test_rejected_smtp_password_keeps_the_mail_waiting(serve, send, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    _, port = serve("smtps", asks_who=True)
    row = send(f"smtps://mailer:wrong@localhost:{port}")
    assert (row.state, row.last_error) == ("waiting", "mail server refused user or password (535)")


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize(
    ("written", "user", "password"),
    [
        ("j%C3%BCrgen:gr%C3%BC%C3%9Fe%40%2F", "jürgen", "grüße@/"),
        ("jürgen:пароль", "jürgen", "пароль"),
        ("mailer:%F0%9F%94%91", "mailer", "🔑"),
    ],
)
def test_non_ascii_smtp_credentials_are_sent_as_utf_8(serve, send, mechanism, written, user, password):
    taker, port = serve("smtp", asks_who=True, knows=[mechanism], password=password)
    assert send(f"smtp://{written}@localhost:{port}").state == "sent"
    assert taker.users == [(user.encode(), password.encode())]


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_rejected_non_ascii_smtp_password_is_reported(serve, send, mechanism):
    _, port = serve("smtp", asks_who=True, knows=[mechanism])
    row = send(f"smtp://mailer:gr%C3%BCn@localhost:{port}")
    assert (row.state, row.last_error) == ("waiting", "mail server refused user or password (535)")


@pytest.mark.parametrize("password", ["p%40ss", "gr%C3%BCn"])
def test_unsupported_smtp_auth_mechanisms_are_reported(serve, send, password):
    _, port = serve("smtp", asks_who=True, knows=[])
    row = send(f"smtp://mailer:{password}@localhost:{port}")
    assert (row.state, row.last_error) == ("waiting", "mail server offers no sign-in mechanism that we know")


def test_server_without_smtp_auth_is_reported(serve, send):
    _, port = serve("smtp")
    row = send(f"smtp://mailer:secret@localhost:{port}")
    assert (row.state, row.last_error) == ("waiting", "mail server offers no sign-in")


def test_required_smtp_auth_is_reported_and_keeps_the_mail_waiting(send, smtp):
    smtp.refusal = "530 5.7.0 Authentication required"
    row = send(smtp.url)
    assert (row.state, row.last_error) == ("waiting", "mail server wants a sign-in first (530)")


def test_port_without_tls_is_reported(serve, send):
    _, port = serve("smtp")
    assert send(f"smtps://localhost:{port}").last_error == "mail server speaks no TLS that we know"


def test_unresolvable_mail_server_name_is_reported(send):
    assert send("smtp://mail.invalid").last_error == "mail server's name not found"


@pytest.mark.parametrize(
    ("scheme", "user", "what", "remedy"),
    [
        ("smtp+starttls", "", "offers no STARTTLS", "smtps://"),
        ("smtp", "mailer:secret@", "offers no sign-in", "587 or 465"),
        ("smtps", "", "speaks no TLS", "port"),
    ],
)
def test_doctor_reports_mail_server_problem_and_remedy(serve, make_app, scheme, user, what, remedy):
    _, port = serve("smtp")
    app = make_app(mail_url=f"{scheme}://{user}localhost:{port}", mail_timeout=5)
    said = app.test_cli_runner().invoke(args=["doctor"]).stdout
    (line,) = [line for line in said.splitlines() if line.split()[1:2] == ["mail"]]
    assert line.startswith("fix")
    assert what in line
    assert remedy in line
