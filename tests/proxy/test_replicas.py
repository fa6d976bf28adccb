"""Replicas that come and go behind nginx with the unchanged deploy/nginx.conf, in any version of nginx."""

from __future__ import annotations

import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from http.client import HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.certificates import write_certificate
from tests.proxy.conftest import HOST, adapted
from tests.requirements import missing
from tests.serving import free_port

ASKED_AGAIN_WITHIN = 15.0
"""Seconds; the file says 5."""


class Names:
    """A DNS server that knows one address for every name."""

    def __init__(self) -> None:
        self.address = "127.0.0.1"
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self) -> None:
        while True:
            try:
                query, who = self.socket.recvfrom(512)
            except OSError:
                return
            end = query.index(b"\0", 12) + 5  # the question ends with its type and class
            head = query[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0)
            record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 1, 4) + socket.inet_aton(self.address)
            self.socket.sendto(head + query[12:end] + record, who)


class Replica(BaseHTTPRequestHandler):
    """Answers with the address it was reached at."""

    def do_GET(self) -> None:
        body = str(self.connection.getsockname()[0]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def program() -> str:
    return shutil.which("nginx") or missing("nginx is not installed")


@pytest.fixture
def names() -> Iterator[Names]:
    made = Names()
    yield made
    made.socket.close()


@pytest.fixture
def proxy(program: str, names: Names, tmp_path: Path) -> Iterator[int]:
    """The port of a running nginx whose replicas are found by ``names``, on 127.0.0.1 and 127.0.0.2."""
    backend, port = free_port(), free_port()
    servers = [ThreadingHTTPServer((address, backend), Replica) for address in ("127.0.0.1", "127.0.0.2")]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    write_certificate(tmp_path / "tls.crt", tmp_path / "tls.key", HOST)
    (tmp_path / "nginx.conf").write_text(
        adapted(
            tmp_path,
            (r"resolver 127.0.0.11 ", f"resolver 127.0.0.1:{names.port} "),
            (r"web:8000", f"web:{backend}"),
            (r"listen 8443 ssl", f"listen 127.0.0.1:{port} ssl"),
        )
    )
    running = subprocess.Popen([program, "-c", str(tmp_path / "nginx.conf"), "-g", "daemon off;"], cwd=tmp_path)
    yield port
    running.terminate()
    running.wait(10)
    for server in servers:
        server.shutdown()
        server.server_close()


def reached(port: int) -> str:
    """Return the address of the replica that answers."""
    anyone = ssl.create_default_context()
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    connection = HTTPSConnection("127.0.0.1", port, context=anyone, timeout=10)
    try:
        connection.request("GET", "/us-signin", headers={"Host": HOST})
        return connection.getresponse().read().decode()
    except OSError:
        return ""
    finally:
        connection.close()


def until(port: int, address: str) -> bool:
    """Ask until this replica answers; False when it does not in time."""
    deadline = time.monotonic() + ASKED_AGAIN_WITHIN
    while reached(port) != address:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def test_shipped_configuration_is_valid_for_the_installed_nginx(program, tmp_path):
    write_certificate(tmp_path / "tls.crt", tmp_path / "tls.key", HOST)
    (tmp_path / "nginx.conf").write_text(adapted(tmp_path))
    done = subprocess.run([program, "-t", "-c", str(tmp_path / "nginx.conf")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_replica_address_change_is_picked_up_without_restart(proxy, names):
    assert until(proxy, "127.0.0.1")
    names.address = "127.0.0.2"
    assert until(proxy, "127.0.0.2")
