"""Third-party clients of one running Latchkey: people sign in to them in Chromium by email code."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from tests.browser.mailbox import Mailbox
from tests.clients.origins import Origin, landing_app, serve
from tests.clients.scripts import Script
from tests.factories import People, Person
from tests.serving import Server

GROUP = "staff"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Registration:
    """An app's registration; ``secret`` is "" for a public client."""

    id: str
    secret: str
    redirect_uri: str


@pytest.fixture
def live_server(shared_server: Server) -> Server:
    """The shared service."""
    return shared_server


@pytest.fixture(scope="session")
def issuer(shared_server: Server) -> str:
    """The provider's issuer URL."""
    return shared_server.url


@pytest.fixture(scope="session")
def staff(shared_app: Flask) -> str:
    """The name of a group."""
    from app.extensions import db
    from app.groups import service

    with shared_app.app_context():
        service.create(GROUP, by="test")
        db.session.commit()
    return GROUP


@pytest.fixture
def ada(shared_app: Flask, staff: str) -> Person:
    """Someone with an email address, an authenticator app and a group, used by no other test."""
    from app.extensions import db
    from app.groups import service

    number = next(_numbers)
    person = People(shared_app).open(
        email=f"ada.{number}@example.com", username=f"ada.client.{number}", methods=["email"]
    )
    with shared_app.app_context():
        service.add_member(staff, person.id, by="test")
        db.session.commit()
    return person


@pytest.fixture
def handle(shared_app: Flask, ada: Person) -> str:
    """Ada's ``sub``."""
    from app.extensions import db
    from app.users import User

    with shared_app.app_context():
        user = db.session.get(User, ada.id)
        assert user is not None
        return user.handle


@pytest.fixture
def mailbox(live_server: Server) -> Mailbox:
    """The messages that the service has sent."""
    return Mailbox(live_server.url)


@pytest.fixture(scope="session")
def register(shared_app: Flask) -> Callable[..., Registration]:
    """Registers an app at the shared service: ``register(redirect_uris=[...], public=True)``."""
    from app.extensions import db
    from app.oidc import client_store
    from app.oidc.client_secrets import new_secret
    from app.oidc.clients import Client

    def register(*, public: bool = False, **fields: Any) -> Registration:
        secret = "" if public or fields.get("auth_method") == "private_key_jwt" else new_secret()
        given = {"name": "An app", "consent": "trusted"} | ({"auth_method": "none"} if public else {}) | fields
        client = Client(id=f"app-{next(_numbers)}", source="command", **given)
        with shared_app.app_context():
            assert client_store.create(client, by="test", secret=secret)
            db.session.commit()
        return Registration(client.id, secret, client.redirect_uris[0] if client.redirect_uris else "")

    return register


@pytest.fixture
def initial_access_token(shared_app: Flask) -> str:
    """A token with which one client can register itself."""
    from app.extensions import db
    from app.oidc import client_store

    with shared_app.app_context():
        token = client_store.issue_registration_token("for a test", 1, timedelta(hours=1), by="test")
        db.session.commit()
    return token


@pytest.fixture
def served() -> Iterator[Callable[..., Origin]]:
    """Serves a WSGI application at its own origin until the test ends: ``served(app)``."""
    with ExitStack() as running:
        yield lambda *arguments, **options: running.enter_context(serve(*arguments, **options))


@pytest.fixture(scope="session")
def landing() -> Iterator[Origin]:
    """A page at ``/callback``, for clients without a server: tests pass them the browser's URL there."""
    with serve(landing_app()) as origin:
        yield origin


@pytest.fixture
def node() -> Iterator[Callable[..., Script]]:
    """Runs a Node script of this folder: ``node("oauth4webapi.mjs", issuer=...)``. It is stopped after the test."""
    with ExitStack() as running:
        yield lambda name, **options: running.enter_context(Script(name, options))


@pytest.fixture
def enter_code(page: Any, ada: Person, mailbox: Mailbox) -> Callable[[], None]:
    """Signs Ada in on the sign-in page: requests a code, reads the email, enters the code."""

    def enter() -> None:
        page.get_by_label("Email, phone or username").fill(ada.email)
        page.get_by_role("button", name="Send me a code").click()
        page.get_by_label("Your code").wait_for()
        page.get_by_label("Your code").fill(mailbox.newest(ada.email).code)  # submitted with its last digit

    return enter


@pytest.fixture
def allow(page: Any) -> Callable[[], None]:
    """Accepts an app's consent page."""
    return lambda: page.get_by_role("button", name="Allow", exact=True).click()


@pytest.fixture
def session_here(page: Any, shared_app: Flask, ada: Person, live_server: Server) -> None:
    """Signs Ada in at Latchkey before any app requests it."""
    from tests.signed_in import _open

    token, _ = _open(shared_app, ada, "", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0")
    cookie = {"name": "latchkey_session", "value": token, "url": live_server.url, "httpOnly": True}
    page.context.add_cookies([cookie | {"sameSite": "Lax"}])
