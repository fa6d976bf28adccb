"""A service shared by tests of a process: as ``make run`` starts it, with SQLite, its own worker and its own mailbox.

Each test uses its own people and apps.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from tests.databases import KEY, Database, Databases
from tests.images import svg
from tests.serving import Server, free_port

CLIENTS = """
[clients.album]
name = "Album"
auth_method = "none"
redirect_uris = ["https://album.example.com/callback"]
home_url = "https://album.example.com"
logo = "album.svg"
"""


@pytest.fixture(scope="session")
def shared_database(databases: Databases) -> Iterator[Database]:
    """The database of the shared service."""
    database = databases.fresh("sqlite")
    yield database
    database.disconnect()


@pytest.fixture(scope="session")
def shared_server(shared_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The shared service. Each test uses its own people."""
    folder: Path = tmp_path_factory.mktemp("standing")
    port = free_port()
    (folder / "album.svg").write_bytes(svg())
    (folder / "clients.toml").write_text(CLIENTS)
    server = Server(
        {
            "LATCHKEY_ENVIRONMENT": "development",
            "LATCHKEY_DATABASE_URL": shared_database.url,
            "LATCHKEY_SECRET_KEYS": KEY,
            "LATCHKEY_PUBLIC_URL": f"http://localhost:{port}",  # browsers don't create passkeys for IP addresses
            "LATCHKEY_QUEUE_URL": f"sqlite:///{folder}/queue.db",
            "LATCHKEY_CLIENTS_FILE": f"{folder}/clients.toml",
            "LATCHKEY_STARTS_PER_ADDRESS": "10000",
            "LATCHKEY_FAILURES_PER_ADDRESS": "10000",
            "LATCHKEY_PASSKEY_STARTS_PER_ADDRESS": "10000",
        },
        folder / "server.log",
        port=port,
        name="localhost",
    )
    yield server.start()
    server.kill()


@pytest.fixture(scope="session")
def shared_app(shared_server: Server) -> Iterator[Flask]:
    """An application on the shared service's database, for creating accounts and sessions."""
    from app import create_app
    from app.extensions import db
    from config.settings import Settings

    values = {name.removeprefix("LATCHKEY_").lower(): value for name, value in shared_server.environment.items()}
    app = create_app(Settings(**values, log_level="warning"))
    yield app
    with app.app_context():
        db.engine.dispose()
