"""Mail with TLS: the certificate must be right, or nothing leaves."""

from __future__ import annotations

import datetime
import ssl

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

pytestmark = pytest.mark.one_database


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """Paths of a certificate for localhost and of its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    written = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(written.public_bytes(serialization.Encoding.PEM))
    no_password = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, no_password))
    return folder / "cert.pem", folder / "key.pem"


class Taker:
    """Takes mails and remembers who signed in."""

    def __init__(self):
        self.mails, self.users = [], []

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        self.mails.append((server.transport.get_extra_info("cipher"), envelope.content))
        return "250 OK"

    def authenticate(self, server, session, envelope, mechanism, data):
        self.users.append((data.login, data.password))
        return AuthResult(success=data.password == b"p@ss:word", handled=False)


@pytest.fixture
def serve(certificate, free_port):
    """Starts a mail server: ``serve("smtps")``, ``serve("smtp+starttls")``, ``serve("smtp")``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    running = []

    def start(scheme, *, asks_who=False):
        taker = Taker()
        options = {"authenticator": taker.authenticate, "auth_require_tls": False} if asks_who else {}
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
def send(make_app, clock, trial_kind):
    """Sends one mail by way of a mail server's URL; returns its row."""
    from app import outbox
    from app.extensions import db
    from app.outbox.sending import ENQUEUED

    def run(url):
        with make_app(mail_url=url, mail_timeout=5).app_context():
            outbox.enqueue("trial", "mail", "ada@example.com")
            message_id = db.session().info[ENQUEUED][-1][0]
            db.session.commit()
            outbox.deliver(message_id)
            return db.session.get(outbox.Message, message_id)

    return run


@pytest.fixture
def free_port():
    """Returns ports that nobody listens at."""
    from tests.sinks import _free_port

    return _free_port


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
def test_a_mail_goes_out_protected(serve, send, scheme, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    taker, port = serve(scheme)
    assert send(f"{scheme}://localhost:{port}").state == "sent"
    assert taker.mails[0][0] is not None


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
def test_a_certificate_nobody_vouches_for_is_not_trusted(serve, send, scheme):
    taker, port = serve(scheme)
    row = send(f"{scheme}://localhost:{port}")
    assert (row.state, row.last_error) == ("waiting", "mail server unreachable (SSLCertVerificationError)")
    assert taker.mails == []


def test_a_certificate_for_another_name_is_not_trusted(serve, send, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    taker, port = serve("smtps")
    assert send(f"smtps://127.0.0.1:{port}").last_error == "mail server unreachable (SSLCertVerificationError)"
    assert taker.mails == []


def test_a_server_that_offers_no_tls_gets_no_mail_when_tls_was_asked_for(serve, send):
    taker, port = serve("smtp")
    row = send(f"smtp+starttls://localhost:{port}")
    assert (row.state, row.last_error) == ("waiting", "mail server unreachable (SMTPNotSupportedError)")
    assert taker.mails == []


def test_name_and_password_come_from_the_url(serve, send, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    taker, port = serve("smtps", asks_who=True)
    assert send(f"smtps://mailer:p%40ss%3Aword@localhost:{port}").state == "sent"
    assert taker.users == [(b"mailer", b"p@ss:word")]


def test_a_wrong_password_is_tried_again_for_the_operator_will_mend_it(serve, send, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    _, port = serve("smtps", asks_who=True)
    row = send(f"smtps://mailer:wrong@localhost:{port}")
    assert (row.state, row.last_error) == ("waiting", "mail server not ready (535)")


@pytest.mark.parametrize(("length", "encoding"), [(900, None), (5000, "quoted-printable")])
def test_lines_longer_than_a_mail_may_have_are_encoded(make_app, clock, smtp, length, encoding):
    from app import outbox
    from app.outbox.channels import mail

    with make_app().app_context():
        row = outbox.Message(id="1" * 32, to="ada@example.com", created_at=clock.now())
        mail.send(row, outbox.Letter("Long", "short\n", f"<p>{'x=é ' * (length // 5)}</p>"), 5)
    part = smtp.mails[0].message.get_body(preferencelist=("html",))
    assert (part["Content-Transfer-Encoding"] == encoding) is (encoding is not None)
    assert "x=é x=é" in smtp.mails[0].html
    assert max(map(len, smtp.mails[0].raw.split(b"\r\n"))) <= 998
