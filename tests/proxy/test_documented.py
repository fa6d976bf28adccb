"""The proxy configurations of docs/proxies.md as printed, and clients that spoof their address."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.databases import ROOT
from tests.proxy.conftest import HOST, PRODUCTION
from tests.requirements import missing
from tests.serving import Server, environment_of, free_port

FORGED = "198.51.100.6"
DOCUMENT = (ROOT / "docs/proxies.md").read_text()

pytestmark = pytest.mark.one_database


def documented(language: str, *changes: tuple[str, str]) -> str:
    """Return the one block of this language, with addresses and files of this machine."""
    (text,) = re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)
    for old, new in changes:
        assert old in text, f"docs/proxies.md has no {old} any more"
        text = text.replace(old, new)
    return text


def nginx(port: int, backend: int, directory: Path) -> tuple[list[str], str]:
    block = documented("nginx", ("127.0.0.1:8000", f"127.0.0.1:{backend}"))
    temporary = " ".join(
        f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    text = f"""pid {directory}/nginx.pid; error_log {directory}/error.log; events {{}}
http {{ access_log off; {temporary} underscores_in_headers on;
server {{ listen 127.0.0.1:{port}; listen [::1]:{port}; {block} }} }}"""
    return ["nginx", "-c", str(directory / "configuration"), "-g", "daemon off;"], text


def caddy(port: int, backend: int, directory: Path) -> tuple[list[str], str]:
    block = documented("caddyfile", ("127.0.0.1:8000", f"127.0.0.1:{backend}"), (f"{HOST} {{", f"http://:{port} {{"))
    text = f"{{\n    admin off\n}}\n{block}"
    return ["caddy", "run", "--config", str(directory / "configuration"), "--adapter", "caddyfile"], text


def haproxy(port: int, backend: int, directory: Path) -> tuple[list[str], str]:
    block = documented(
        "haproxy",
        ("127.0.0.1:8000", f"127.0.0.1:{backend}"),
        ("bind :443 ssl crt /etc/haproxy/login.pem", f"bind 127.0.0.1:{port}\n    bind [::1]:{port}"),
    )
    return ["haproxy", "-f", str(directory / "configuration")], block


def haproxy_with_port(port: int, backend: int, directory: Path) -> tuple[list[str], str]:
    """As some load balancers write it: address and port, in a line beside what the caller has sent."""
    command, text = haproxy(port, backend, directory)
    add = "add-header X-Forwarded-For"
    changed = text.replace(
        "set-header X-Forwarded-For %[src]",
        f"{add} %[src]:%[src_port] if {{ src 127.0.0.1 }}\n"
        f"    http-request {add} [%[src]]:%[src_port] if {{ src ::1 }}",
    )
    assert changed != text
    return command, changed


def for_two(row: str) -> str:
    """Return what the table of docs/proxies.md says that this proxy does as the inner one."""
    (line,) = re.findall(rf"^\| {row} \| `([^`]+)`", DOCUMENT, re.MULTILINE)
    return line


def as_inner(text: str, old: str, new: str, without: str) -> str:
    """Return a configuration as the inner proxy has it: without a request id of its own, with another address line."""
    for each in (old, without):
        assert each in text, f"docs/proxies.md has no {each} any more"
    return text.replace(without, "").replace(old, new)


def inner_nginx(port: int, backend: int, directory: Path) -> tuple[list[str], str]:
    command, text = nginx(port, backend, directory)
    address, own_id = "proxy_set_header X-Forwarded-For $remote_addr;", "proxy_set_header X-Request-ID $request_id;"
    return command, as_inner(text, address, for_two("nginx"), own_id)


def inner_caddy(port: int, backend: int, directory: Path) -> tuple[list[str], str]:
    command, text = caddy(port, backend, directory)
    transport, own_id = "transport http {", "header_up X-Request-ID {http.request.uuid}"
    return command, as_inner(text, transport, f"{for_two('Caddy')}\n        {transport}", own_id)


def inner_haproxy(port: int, backend: int, directory: Path) -> tuple[list[str], str]:
    command, text = haproxy(port, backend, directory)
    address, own_id = "http-request set-header X-Forwarded-For %[src]", "http-request set-header X-Request-ID %[uuid()]"
    return command, as_inner(text, address, for_two("HAProxy"), own_id)


PROXIES = {
    each.__name__: each for each in (nginx, caddy, haproxy, haproxy_with_port, inner_nginx, inner_caddy, inner_haproxy)
}


@dataclass
class Behind:
    """A proxy that runs, and the service behind it."""

    port: int
    server: Server

    def ask(self, *lines: str, address: str = "127.0.0.1", source: str = "") -> str:
        """Send a request with these header lines to this address, from ``source``; return the answer's head."""
        head = ["GET /us-signin HTTP/1.1", f"Host: {HOST}", "Connection: close", *lines, "", ""]
        with socket.create_connection(
            (address, self.port), timeout=10, source_address=(source, 0) if source else None
        ) as connection:
            connection.sendall("\r\n".join(head).encode("latin-1"))
            return connection.makefile("rb").read().decode("latin-1").partition("\r\n\r\n")[0]

    @property
    def requests(self) -> list[dict[str, str]]:
        """The service's log of sign-in pages."""
        lines = [json.loads(line) for line in self.server.output.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == "request" and line["route"] == "/us-signin"]


@pytest.fixture(scope="module")
def server(databases, smtp_server, sms_provider, tmp_path_factory) -> Iterator[Server]:
    """A service in production that believes one proxy."""
    yield from serving(1, databases, smtp_server, sms_provider, tmp_path_factory)


def serving(trusted: int, databases, smtp_server, sms_provider, tmp_path_factory) -> Iterator[Server]:
    """Serve behind that many proxies."""
    directory, database, port = tmp_path_factory.mktemp("service"), databases.fresh("sqlite"), free_port()
    environment = environment_of(database, port, directory, smtp_server, sms_provider) | PRODUCTION
    environment["LATCHKEY_TRUSTED_PROXIES"] = str(trusted)
    made = Server(environment, directory / "server.log", port=port, workers=1)
    yield made.start()
    made.kill()
    database.disconnect()


@contextmanager
def running_proxy(kind: str, backend: int, directory: Path, server: Server) -> Iterator[Behind]:
    """Run one in front of ``backend``, which is the service or another proxy, until the block ends."""
    port = free_port()
    (program, *arguments), text = PROXIES[kind](port, backend, directory)
    path = shutil.which(program) or missing(f"{program} is not installed")
    (directory / "configuration").write_text(text)
    with (directory / "output").open("wb") as output:
        home = {"PATH": os.environ["PATH"], "HOME": str(directory)}
        running = subprocess.Popen([path, *arguments], cwd=directory, env=home, stdout=output, stderr=output)
    made = Behind(port, server)
    deadline = time.monotonic() + 15
    while True:
        try:
            if " 200 " in made.ask():
                break
        except OSError:
            assert running.poll() is None, (directory / "output").read_text()
        assert time.monotonic() < deadline, (directory / "output").read_text()
        time.sleep(0.1)
    try:
        yield made
    finally:
        running.terminate()
        running.wait(10)


@pytest.fixture(scope="module", params=["nginx", "caddy", "haproxy", "haproxy_with_port"])
def behind(request, server, tmp_path_factory) -> Iterator[Behind]:
    """Each proxy in front of the same service."""
    with running_proxy(request.param, server.port, tmp_path_factory.mktemp(request.param), server) as made:
        yield made


@pytest.fixture(scope="module")
def server_of_two(databases, smtp_server, sms_provider, tmp_path_factory) -> Iterator[Server]:
    """A service in production that believes two proxies."""
    yield from serving(2, databases, smtp_server, sms_provider, tmp_path_factory)


@pytest.fixture(
    scope="module",
    params=[
        ("nginx", "inner_nginx"),
        ("nginx", "inner_caddy"),
        ("nginx", "inner_haproxy"),
        ("caddy", "inner_nginx"),
        ("haproxy", "inner_caddy"),
    ],
    ids="-".join,
)
def behind_two(request, server_of_two, tmp_path_factory) -> Iterator[Behind]:
    """Two proxies, one behind the other."""
    outer, inner = request.param
    server, directory = server_of_two, tmp_path_factory.mktemp
    with (
        running_proxy(inner, server.port, directory(inner), server) as inside,
        running_proxy(outer, inside.port, directory(outer), server) as outside,
    ):
        yield outside


forgeries = pytest.mark.parametrize(
    "lines",
    [
        [],
        [f"X-Forwarded-For: {FORGED}"],
        [f"X-Forwarded-For: {FORGED}, {FORGED}", f"X-Forwarded-For: {FORGED}"],
        [f"X_Forwarded_For: {FORGED}"],
        [f"x-forwarded_for: {FORGED}", f"X_Forwarded-For: {FORGED}:80"],
        [f"Forwarded: for={FORGED}", f"X-Real-IP: {FORGED}", f"True-Client-IP: {FORGED}"],
        ["X-Forwarded-For: \xfc\xff", "Cookie: a=\xc3\xbc"],
    ],
    ids=["nothing", "one", "three", "underscores", "one underscore", "other names", "odd bytes"],
)


@forgeries
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_spoofed_forwarding_headers_do_not_change_the_client_address(behind, lines, address):
    count = len(behind.requests)
    assert " 200 " in behind.ask(*lines, address=address)
    assert [line["address"] for line in behind.requests[count:]] == [address]


def test_request_id_is_set_by_the_proxy_not_the_caller(behind):
    head = behind.ask("X-Request-ID: chosen-by-a-stranger")
    (given,) = re.findall(r"(?im)^x-request-id: (\S+)", head)
    assert given == behind.requests[-1]["request_id"] != "chosen-by-a-stranger"


@forgeries
def test_spoofed_client_address_is_ignored_behind_two_proxies(behind_two, lines):
    count = len(behind_two.requests)
    for address in ("127.0.0.1", "127.0.0.77"):
        assert " 200 " in behind_two.ask(*lines, address="127.0.0.1", source=address)
    assert [line["address"] for line in behind_two.requests[count:]] == ["127.0.0.1", "127.0.0.77"]


def test_request_id_is_set_by_the_outer_of_two_proxies(behind_two):
    head = behind_two.ask("X-Request-ID: chosen-by-a-stranger")
    (given,) = re.findall(r"(?im)^x-request-id: (\S+)", head)
    assert given == behind_two.requests[-1]["request_id"] != "chosen-by-a-stranger"
