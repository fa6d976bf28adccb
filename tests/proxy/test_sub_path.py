"""nginx in front of a Unix socket and below a sub-path, following docs/deploy.md: path kept, and path stripped."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.databases import ROOT, Databases
from tests.faults.accounts import open_one
from tests.faults.visitors import code_for
from tests.proxy.caller import Caller
from tests.proxy.conftest import ADA, HOST, PRODUCTION
from tests.requirements import program
from tests.serving import Server, environment_of, free_port
from tests.sinks import SmsStub, SmtpSink

PUBLIC = f"https://{HOST}/auth"
DOCUMENT = (ROOT / "docs/deploy.md").read_text()

pytestmark = pytest.mark.one_database


@dataclass
class Proxy:
    """nginx with the documented lines, at a port of its own."""

    port: int
    server: Server

    def connect(self) -> HTTPConnection:
        """Return a connection as a browser makes it."""
        return HTTPConnection("127.0.0.1", self.port, timeout=20)


def documented(title: str, socket: Path) -> str:
    """Return the nginx lines below this title of docs/deploy.md, with the socket of this test."""
    (text,) = re.findall(rf"^#+ {title}\n.*?```nginx\n(.*?)```", DOCUMENT, re.DOTALL | re.MULTILINE)
    assert "/run/latchkey/web.sock" in text
    return text.replace("/run/latchkey/web.sock", str(socket))


def configuration(directory: Path, servers: dict[int, str]) -> str:
    """Return a whole configuration around the documented lines, by port."""
    temporary = " ".join(
        f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    text = "".join(f"server {{ listen 127.0.0.1:{port}; {lines} }}\n" for port, lines in servers.items())
    owner = "user root root;" if os.getuid() == 0 else ""  # else its workers were of a user who may not connect
    return f"""{owner} pid {directory}/nginx.pid; error_log {directory}/error.log; events {{}}
http {{ access_log off; {temporary} {text} }}"""


@pytest.fixture(scope="module")
def proxies(
    databases: Databases, smtp_server: SmtpSink, sms_provider: SmsStub, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Proxy]]:
    """One server at a socket, and a proxy for each way: ``proxies["passed on"]``."""
    nginx, database = program("nginx"), databases.fresh("sqlite")
    directory, place = tmp_path_factory.mktemp("socket"), Path(tempfile.mkdtemp(prefix="latchkey-"))
    socket = place / "web.sock"  # a short path: those of pytest are longer than a socket's may be
    ports = {"passed on": free_port(), "taken away": free_port()}
    lines = {
        ports["passed on"]: documented("Below a path of a host", socket),
        ports["taken away"]: documented("A proxy that takes the path away", socket),
    }
    (directory / "nginx.conf").write_text(configuration(directory, lines))
    open_one(database, email=ADA, methods=["email"])
    environment = environment_of(database, free_port(), directory, smtp_server, sms_provider) | PRODUCTION
    server = Server(
        environment | {"LATCHKEY_PUBLIC_URL": PUBLIC},
        directory / "log",
        port=ports["passed on"],
        workers=1,
        unix=socket,
    )
    command = [nginx, "-c", str(directory / "nginx.conf"), "-e", str(directory / "error.log"), "-g", "daemon off;"]
    running = subprocess.Popen(command, cwd=directory)
    server.answers = lambda: alive(server)  # type: ignore[method-assign]
    try:
        server.start()
        assert stat.S_IMODE(socket.stat().st_mode) == 0o660
        yield {name: Proxy(port, server) for name, port in ports.items()}
    finally:
        running.terminate()
        running.wait(10)
        server.kill()
        database.disconnect()
        shutil.rmtree(place, ignore_errors=True)


def alive(server: Server) -> bool:
    try:
        with urllib.request.urlopen(f"{server.url}/auth/healthz", timeout=2) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError):
        return False


@pytest.mark.parametrize("way", ["passed on", "taken away"])
def test_sign_in_works_through_unix_socket_below_a_sub_path(proxies, smtp, way):
    caller, since = Caller(proxies[way], X_Forwarded_For="203.0.113.9"), len(smtp.mails)
    token = caller.ask("GET", "/auth/us-signin")[1]["csrf_token"]
    fields = {"identity": ADA, "csrf_token": token}
    assert caller.ask("POST", "/auth/us-signin/send-code", chosen_method="email", **fields)[0] == 200
    code = code_for(ADA, smtp, since, 10)
    assert f"{PUBLIC}/us-verify-link?token=" in smtp.mails[-1].text
    status, answer = caller.ask("POST", "/auth/us-signin", passcode=code, **fields)
    assert (status, answer.get("tf_required")) == (200, False)
    assert all(line.startswith("__Host-") and "; Path=/;" in f"{line};" for line in caller.handed)
    sessions = caller.ask("GET", "/auth/sessions")[1]["sessions"]
    assert {session["address"] for session in sessions} == {"127.0.0.1"}  # as the proxy says, and not as the caller


@pytest.mark.parametrize("way", ["passed on", "taken away"])
def test_links_redirects_and_well_known_documents_use_the_sub_path(proxies, way):
    caller = Caller(proxies[way])
    caller.connection.request("GET", "/auth/sessions", headers={"Host": HOST, "Accept": "text/html"})
    answer = caller.connection.getresponse()
    answer.read()
    assert answer.status == 302
    assert answer.getheader("Location") == "/auth/login?next=%2Fsessions"
    caller.connection.request("GET", "/auth/us-signin", headers={"Host": HOST, "Accept": "text/html"})
    text = caller.connection.getresponse().read().decode()
    (style,) = re.findall(r'<link rel="stylesheet" href="([^"]+)"', text)
    assert caller.ask("GET", style)[0] == 200
    for path in ("/auth/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/auth",
                 "/.well-known/webauthn", "/.well-known/passkey-endpoints"):  # fmt: skip
        assert caller.ask("GET", path)[0] == 200, path
    assert caller.ask("GET", "/us-signin")[0] == 404  # nginx's own: the rest of the host is not ours
    assert caller.ask("GET", "/auth/readyz")[0] == 404


def test_second_server_on_the_same_socket_fails_to_start(proxies, tmp_path):
    server = proxies["passed on"].server
    other = Server(server.environment, tmp_path / "log", port=free_port(), workers=1, unix=server.unix)
    with pytest.raises(AssertionError, match="another server listens at"):
        other.start()
    assert alive(server)
