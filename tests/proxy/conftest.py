"""Two replicas in production behind nginx with deploy/nginx.conf and TLS; only addresses and paths differ."""

from __future__ import annotations

import re
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from tests.certificates import write_certificate
from tests.databases import ROOT, Databases
from tests.faults.accounts import open_one
from tests.requirements import program
from tests.serving import Server, environment_of, free_port
from tests.sinks import SmsStub, SmtpSink

HOST = "login.example.com"
ADA = "ada@example.com"
PRODUCTION = {
    "LATCHKEY_ENVIRONMENT": "production",
    "LATCHKEY_PUBLIC_URL": f"https://{HOST}",
    "LATCHKEY_MAIL_ALLOW_PLAINTEXT": "on",
    "LATCHKEY_TRUSTED_PROXIES": "1",
    "LATCHKEY_METHODS": "email",
}


@dataclass
class Front:
    """The proxy, and the replicas behind it."""

    port: int
    directory: Path
    replicas: list[Server]

    @property
    def origin(self) -> str:
        return f"https://{HOST}"

    @property
    def log(self) -> str:
        """What nginx has written of requests and of faults."""
        return "".join(log.read_text() for log in sorted(self.directory.glob("*.log")))

    def connect(self) -> HTTPSConnection:
        """Return a connection as a browser makes it; it is kept open between requests."""
        anyone = ssl.create_default_context()
        anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
        return HTTPSConnection("127.0.0.1", self.port, context=anyone, timeout=20)


@pytest.fixture(scope="module")
def front(
    databases: Databases,
    smtp_server: SmtpSink,
    sms_provider: SmsStub,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Front]:
    """A running proxy with two replicas of one process each, and Ada's account. All tests of a module share it."""
    nginx = program("nginx")
    directory, database, replicas = tmp_path_factory.mktemp("proxy"), databases.fresh("sqlite"), []
    open_one(database, email=ADA, methods=["email"])
    for port in (free_port(), free_port()):
        environment = environment_of(database, port, directory, smtp_server, sms_provider) | PRODUCTION
        replicas.append(Server(environment, directory / f"{port}.log", port=port, workers=1))
    made = Front(free_port(), directory / "nginx", replicas)
    made.directory.mkdir()
    write_certificate(made.directory / "tls.crt", made.directory / "tls.key", HOST)
    configuration = made.directory / "nginx.conf"
    configuration.write_text(_configuration(made))
    command = [nginx, "-c", str(configuration), "-g", "daemon off;"]
    running = None
    try:
        for replica in replicas:
            replica.start()
        running = subprocess.Popen(command, cwd=made.directory)
        _wait_for(made, running)
        yield made
    finally:
        for process in (running,) if running else ():
            process.terminate()
            process.wait(10)
        for replica in replicas:
            replica.kill()
        database.disconnect()


def _configuration(front: Front) -> str:
    """Return deploy/nginx.conf with what belongs to containers replaced: the replicas have no name in a DNS."""
    servers = " ".join(f"server 127.0.0.1:{each.port} max_fails=0;" for each in front.replicas)
    return adapted(
        front.directory,
        (r"resolver [^;]*;", f"upstream replicas {{ {servers} }}"),
        (r"set \$latchkey web:8000;", "set $latchkey replicas;"),
        (r"listen 8443 ssl", f"listen 127.0.0.1:{front.port} ssl"),
    )


def adapted(directory: Path, *more: tuple[str, str]) -> str:
    """Return deploy/nginx.conf with its files in ``directory``, and ``more`` (pattern, text) replaced."""
    text = (ROOT / "deploy/nginx.conf").read_text()
    for pattern, instead in (
        (r"/tmp/", f"{directory}/"),
        (r"/run/secrets/", f"{directory}/"),
        (r"/dev/stdout", f"{directory}/access.log"),
        (r"/dev/stderr", f"{directory}/error.log"),
        *more,
    ):
        text, found = re.subn(pattern, instead, text)
        assert found, f"deploy/nginx.conf has no {pattern} any more"
    return text


def _wait_for(front: Front, running: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while True:
        connection = front.connect()
        try:
            connection.request("GET", "/healthz", headers={"Host": HOST})
            if connection.getresponse().status == 200:
                return
        except OSError:
            assert running.poll() is None, front.log
        finally:
            connection.close()
        assert time.monotonic() < deadline, "nginx does not answer"
        time.sleep(0.05)
