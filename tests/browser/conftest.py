"""One service for the tests of this folder, as ``make run`` starts it: SQLite, its own worker, its own mailbox."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.browser.mailbox import Mailbox
from tests.databases import KEY, Database, Databases
from tests.factories import People, Person
from tests.images import svg
from tests.serving import Server, free_port

REFUSED = re.compile(r"Failed to load resource: the server responded with a status of 4\d\d")
"""What Chromium says of a page that answers with a refusal; the page itself shows it."""

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def standing_database(databases: Databases) -> Iterator[Database]:
    """The database of the standing service."""
    database = databases.fresh("sqlite")
    yield database
    database.disconnect()


CLIENTS = """
[clients.album]
name = "Album"
auth_method = "none"
redirect_uris = ["https://album.example.com/callback"]
home_url = "https://album.example.com"
logo = "album.svg"
"""


@pytest.fixture(scope="session")
def standing_server(standing_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service that these tests share; each brings people of its own."""
    folder: Path = tmp_path_factory.mktemp("browser")
    port = free_port()
    (folder / "album.svg").write_bytes(svg())
    (folder / "clients.toml").write_text(CLIENTS)
    server = Server(
        {
            "LATCHKEY_ENVIRONMENT": "development",
            "LATCHKEY_DATABASE_URL": standing_database.url,
            "LATCHKEY_SECRET_KEYS": KEY,
            "LATCHKEY_PUBLIC_URL": f"http://localhost:{port}",  # browsers make no passkeys for an address
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


@pytest.fixture
def live_server(standing_server: Server) -> Server:
    """The standing service."""
    return standing_server


@pytest.fixture
def new_browser(chromium: Any, live_server: Server) -> Iterator[Callable[..., Any]]:
    """Opens browsers with no cookie of each other; the test fails when any page of theirs has a fault."""
    contexts = []
    faults: list[str] = []

    def note(line: Any) -> None:
        if line.type in ("error", "warning") and not REFUSED.match(line.text):
            faults.append(f"{line.text} ({line.location})")

    def open_page(**options: Any) -> Any:
        context = chromium.new_context(base_url=live_server.url, **options)
        contexts.append(context)
        context.set_default_timeout(10_000)
        context.on("console", note)
        context.on("weberror", lambda error: faults.append(str(error.error)))
        return context.new_page()

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture(scope="session")
def standing_app(standing_server: Server) -> Iterator[Flask]:
    """An application on the standing service's database, to open accounts and sessions with."""
    from app import create_app
    from app.extensions import db
    from config.settings import Settings

    values = {name.removeprefix("LATCHKEY_").lower(): value for name, value in standing_server.environment.items()}
    app = create_app(Settings(**values, log_level="warning"))
    yield app
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def people(standing_app: Flask) -> People:
    """Opens accounts at the standing service, for addresses that no other test has."""
    return People(standing_app)


@pytest.fixture
def email() -> str:
    """An address that no other test has."""
    return f"ada{next(_numbers)}@example.com"


@pytest.fixture
def phone() -> str:
    """A number that no other test has."""
    return f"+1650253{next(_numbers):04}"


@pytest.fixture
def mailbox(live_server: Server) -> Mailbox:
    """What the service has sent: ``mailbox.newest(email)``."""
    return Mailbox(live_server.url)


@pytest.fixture
def sign_in(page: Any, standing_app: Flask, live_server: Server) -> Callable[..., Any]:
    """Signs ``page`` in without its pages: ``sign_in(ada)``; returns the page."""
    from tests.signed_in import _open

    def sign_in(person: Person, page: Any = page) -> Any:
        token, _ = _open(standing_app, person, "", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0")
        cookie = {"name": "latchkey_session", "value": token, "url": live_server.url, "httpOnly": True}
        page.context.add_cookies([cookie | {"sameSite": "Lax"}])
        return page

    return sign_in


@pytest.fixture
def ask_for_code() -> Callable[..., None]:
    """Goes to the sign-in page and asks for a code: ``ask_for_code(page, email)``."""

    def ask(page: Any, identity: str, button: str = "Email me a code") -> None:
        page.goto("/us-signin")
        page.get_by_label("Email, phone or username").fill(identity)
        page.get_by_role("button", name=button).click()
        page.get_by_label("Your code").wait_for()

    return ask
