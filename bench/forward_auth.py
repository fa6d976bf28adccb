"""Forward auth: requests that nginx allows after asking Latchkey, and after asking a minimal Flask app.

``python -m bench.forward_auth`` prints a table like ``python -m bench``. One nginx in front of both sends an
``auth_request`` before it responds with an empty image; the minimal app (``floor.py``) reads one row by the digest of
a cookie. ``--sessions 1000000`` fills the tables; requests are spread over all of them.
"""

import argparse
import hashlib
import secrets
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench.bare import Bare
from bench.client import Done, Script
from bench.databases import KINDS, databases
from bench.latchkey import Latchkey
from bench.results import Results
from bench.run import run_clients
from bench.servers import Server, free_port
from bench.subject import shares

WORKS = {"F1": "a request that passes"}
APP = "wiki.example.com"
BATCH = 5000
NGINX = """
pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  {upstreams}
  {servers}
}}
"""
SERVER = """
  server {{
    listen 127.0.0.1:{port};
    location = /healthz {{ proxy_pass http://{name}; }}
    location = /_check {{
      internal; proxy_pass http://{name}{path}; proxy_pass_request_body off;
      proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Content-Length ""; proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Original-URL https://$host$request_uri; proxy_set_header X-Original-Method $request_method;
    }}
    location / {{ auth_request /_check; empty_gif; }}
  }}
"""


class Guarded:
    """A subject behind nginx, and its client scripts."""

    name: str
    cookie: str
    path: str
    server: Server
    cookies: list[str]

    def scripts(self, clients: int) -> list[Script]:
        return [self._play(share) for share in shares(len(self.cookies), clients, 0)]

    def _play(self, share: Iterator[int]) -> Script:
        for number in share:
            cookie = f"Cookie: {self.cookie}={self.cookies[number]}"
            answer = yield f"GET /notes HTTP/1.1\r\nHost: {APP}\r\n{cookie}\r\n\r\n".encode()
            yield Done(answer is not None and answer.status == 200, f"{answer and answer.status}")


class Floor(Guarded):
    """A Flask app that reads a single row."""

    name, cookie, path = "floor", "floor", "/one-row"

    def __init__(self, url: str, directory: Path, options: argparse.Namespace) -> None:
        self.inner = Bare(url, 1000, directory, options.processes)
        self.server, self.sessions = self.inner.server, options.sessions

    def populate(self) -> None:
        self.inner.populate()
        from bench import floor

        self.cookies = [secrets.token_urlsafe(32) for _ in range(self.sessions)]
        rows = [
            {"digest": hashlib.sha256(token.encode()).hexdigest(), "user_id": number % 1000 + 1, "created_at": 1}
            for number, token in enumerate(self.cookies)
        ]
        _insert(floor.create_app(), floor.db, floor.Session, rows)


class Ours(Guarded):
    """Latchkey."""

    name, cookie, path = "latchkey", "__Host-latchkey_gate", "/gate/nginx"

    def __init__(self, url: str, directory: Path, options: argparse.Namespace) -> None:
        self.inner = Latchkey(url, 1000, directory, options.processes, free_port())
        self.server, self.sessions = self.inner.server, options.sessions
        (directory / "apps.toml").write_text(f'[apps.wiki]\nname = "Wiki"\nurl = "https://{APP}"\n')
        self.inner.environment["LATCHKEY_APPS_FILE"] = str(directory / "apps.toml")
        self.inner.environment["LATCHKEY_FORWARD_AUTH_PROXIES"] = "127.0.0.1"

    def populate(self) -> None:
        self.inner.populate()
        from app import clock
        from app.crypto import secrets as ours
        from app.extensions import db
        from app.forward_auth.models import AppSession
        from app.sessions.models import AuthSession

        self.cookies = [ours.token() for _ in range(self.sessions)]
        now, sessions, at_app = clock.now(), [], []
        until = now + timedelta(days=1)
        for number, token in enumerate(self.cookies):
            user_id, session_id = self.inner.people[number % 1000].user_id, ours.row_id()
            sessions.append({
                "digest": ours.digest(ours.token()), "session_id": session_id, "user_id": user_id, "kind": "browser",
                "amr": "email", "created_at": now, "seen_at": now + timedelta(hours=1), "authenticated_at": now,
                "expires_at": until, "persistent": False, "address": "", "agent": "", "untold": False,
            })  # fmt: skip
            at_app.append({
                "digest": ours.digest(token), "session_id": session_id, "user_id": user_id, "host": APP, "app": "wiki",
                "created_at": now, "expires_at": until,
            })  # fmt: skip
        _insert(self.inner.app, db, AuthSession, sessions)
        _insert(self.inner.app, db, AppSession, at_app)


def _insert(app: Any, db: Any, model: Any, rows: list[dict[str, Any]]) -> None:
    """Insert rows with SQLAlchemy, and update the database's table statistics."""
    import sqlalchemy as sa

    with app.app_context():
        for first in range(0, len(rows), BATCH):
            db.session.execute(sa.insert(model), rows[first : first + BATCH])
            db.session.commit()
        db.session.execute(sa.text("ANALYZE"))
        db.session.commit()
        db.session.remove()
        db.engine.dispose()


def main() -> None:
    """Measure both in turn and print the results."""
    parser = argparse.ArgumentParser(prog="python -m bench.forward_auth", description=__doc__)
    parser.add_argument("--database", choices=(*KINDS, "both"), default="both")
    parser.add_argument("--sessions", type=int, default=20_000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers are stopped, too
    for kind in KINDS if options.database == "both" else (options.database,):
        with tempfile.TemporaryDirectory(prefix="latchkey-bench-") as made, ExitStack() as stack:
            print(f"\n{kind}: {options.sessions:,} sessions", flush=True)
            print(_measure(kind, Path(made), options, stack).table(), flush=True)


def _measure(kind: str, directory: Path, options: argparse.Namespace, stack: ExitStack) -> Results:
    store = stack.enter_context(databases(kind, directory))
    subjects: list[Guarded] = [maker(store.make(maker.name), directory, options) for maker in (Floor, Ours)]
    results = Results([subject.name for subject in subjects], {Floor.name: "floor"}, works=WORKS)
    for subject in subjects:
        subject.populate()
        stack.callback(subject.server.stop)
        results.starts[subject.name].append(subject.server.start("/healthz"))
    doors = _start_nginx(directory, subjects, stack)
    for _ in range(options.rounds):
        for subject, door in zip(subjects, doors, strict=True):
            run = run_clients(subject.server, subject.scripts(options.clients), options.seconds, store, port=door)
            results.add(subject.name, "F1", run)
    for subject in subjects:
        results.memory[subject.name] = subject.server.memory()
    return results


def _start_nginx(directory: Path, subjects: list[Guarded], stack: ExitStack) -> list[int]:
    """Start one nginx; return the port that protects each subject."""
    doors = [free_port() for _ in subjects]
    upstreams = "".join(
        f"upstream {each.name} {{ server 127.0.0.1:{each.server.port}; keepalive 64; }}\n" for each in subjects
    )
    servers = "".join(
        SERVER.format(port=door, name=each.name, path=each.path) for each, door in zip(subjects, doors, strict=True)
    )
    (directory / "nginx.conf").write_text(NGINX.format(folder=directory, upstreams=upstreams, servers=servers))
    command = ["nginx", "-c", str(directory / "nginx.conf"), "-g", "daemon off;"]
    nginx = Server(command, {}, directory / "nginx.log", doors[0])
    stack.callback(nginx.stop)
    nginx.start("/healthz")
    return doors


if __name__ == "__main__":
    main()
