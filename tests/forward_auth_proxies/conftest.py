"""One Latchkey, one toy app, and each proxy of docs/integrate in front of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from tests.browsing import ARGUMENTS, CHROMIUM
from tests.databases import Database, Databases
from tests.factories import People, Person
from tests.forward_auth_proxies.recipes import RECIPES, WIKI, Places, running
from tests.forward_auth_proxies.toy_app import ToyApp
from tests.forward_auth_proxies.visitor import Visitor
from tests.proxy.conftest import PRODUCTION
from tests.serving import Server, environment_of, free_port
from tests.sinks import Mail, SmsStub, SmtpSink, until

APPS = f"""
[apps.wiki]
name = "Wiki"
url = "https://{WIKI}"
headers = {{"X-Remote-User" = "user"}}

[[apps.wiki.rules]]
paths = ["/public/*"]
level = "public"

[[apps.wiki.rules]]
paths = ["/hook"]
methods = ["POST"]
level = "public"

[[apps.wiki.rules]]
paths = ["/inside/*"]
networks = ["127.0.0.99"]
level = "public"

[[apps.wiki.rules]]
paths = ["/closed/*", "/hook"]
level = "deny"

[[apps.wiki.rules]]
paths = ["/vault/*"]
level = "aal2"

[[apps.wiki.rules]]
paths = ["/bank/*"]
max_age = "PT5M"

[apps.open]
name = "Open"
url = "https://open.example.com"
level = "public"
"""
METHODS = "email,authenticator"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Front:
    """A proxy that runs."""

    kind: str
    port: int

    def visitor(self, cookie: str = "", source: str = "127.0.0.77") -> Visitor:
        """Return someone at the app's address."""
        return Visitor(self.port, WIKI, cookie, source)


@pytest.fixture(scope="session")
def latchkey_database(databases: Databases) -> Iterator[Database]:
    """The database of the service behind the proxies."""
    database = databases.fresh("sqlite")
    yield database
    database.disconnect()


@pytest.fixture(scope="session")
def latchkey(
    latchkey_database: Database,
    smtp_server: SmtpSink,
    sms_provider: SmsStub,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """The service behind the proxies, in production."""
    folder, port = tmp_path_factory.mktemp("latchkey"), free_port()
    (folder / "apps.toml").write_text(APPS)
    environment = environment_of(latchkey_database, port, folder, smtp_server, sms_provider) | PRODUCTION
    environment |= {"LATCHKEY_APPS_FILE": f"{folder}/apps.toml", "LATCHKEY_FORWARD_AUTH_PROXIES": "127.0.0.1"}
    # Everyone calls from the same address here, and tests run in any order: one report would stop all later codes.
    environment |= {"LATCHKEY_METHODS": METHODS, "LATCHKEY_DENIED_PENALTY": "0"}
    server = Server(environment, folder / "server.log", port=port, workers=1)
    yield server.start()
    server.kill()


@pytest.fixture(scope="session")
def latchkey_app(latchkey: Server) -> Iterator[Flask]:
    """An application on that service's database, to open accounts and sessions with."""
    from app import create_app
    from app.extensions import db
    from config.settings import Settings

    names = (
        "environment",
        "database_url",
        "secret_keys",
        "public_url",
        "mail_url",
        "mail_allow_plaintext",
        "apps_file",
    )
    values = {name: latchkey.environment[f"LATCHKEY_{name.upper()}"] for name in names}
    app = create_app(Settings(**values, methods=tuple(METHODS.split(",")), log_level="error"))
    yield app
    with app.app_context():
        db.engine.dispose()


@pytest.fixture(scope="session")
def toy() -> Iterator[ToyApp]:
    """The app behind the proxies."""
    made = ToyApp()
    yield made
    made.close()


@pytest.fixture(scope="session", params=RECIPES)
def front(
    request: pytest.FixtureRequest, latchkey: Server, toy: ToyApp, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Front]:
    """Each proxy, in front of the toy app."""
    directory: Path = tmp_path_factory.mktemp(request.param)
    places = Places(free_port(), latchkey.port, toy.port, directory)
    with running(request.param, places):
        yield Front(request.param, places.port)


@pytest.fixture
def reached(toy: ToyApp) -> list[Any]:
    """What reaches the app in this test."""
    toy.reached.clear()
    return toy.reached


@pytest.fixture(scope="session")
def ada(latchkey_app: Flask) -> Person:
    """Someone with an account, in a group."""
    from app.extensions import db
    from app.groups import service

    person = People(latchkey_app).open(email="ada@example.com", username="ada", methods=["email"])
    with latchkey_app.app_context():
        service.create("staff", by="test")
        service.add_member("staff", person.id, by="test")
        db.session.commit()
    return person


@pytest.fixture(scope="session")
def session_token(latchkey_app: Flask, ada: Person) -> str:
    """The cookie of a session of Ada's at Latchkey."""
    from tests.signed_in import _open

    return _open(latchkey_app, ada, "", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0")[0]


@pytest.fixture(scope="session")
def app_cookie(latchkey_app: Flask, ada: Person, session_token: str) -> str:
    """The cookie of that session at the app, as a browser sends it."""
    from app.extensions import db
    from app.forward_auth import app_sessions
    from app.forward_auth.app_file import app_of
    from app.sessions.models import AuthSession

    with latchkey_app.app_context():
        app = app_of(WIKI)
        session = db.session.query(AuthSession).filter_by(kind="browser", user_id=ada.id).one()
        assert app is not None
        token, _ = app_sessions.create(session, app, app.host)
        db.session.commit()
    return f"__Host-latchkey_gate={token}"


@pytest.fixture(scope="session")
def api_token(latchkey_app: Flask, ada: Person) -> str:
    """A token of a program of Ada's, for apps."""
    from datetime import timedelta

    from app.extensions import db
    from app.sessions import api_tokens

    with latchkey_app.app_context():
        token = api_tokens.issue(ada.id, "script", ("apps",), timedelta(days=1), "")[1]
        db.session.commit()
    return token


@pytest.fixture
def stranger(front: Front) -> Visitor:
    """Someone who is not signed in."""
    return front.visitor()


@pytest.fixture
def signed_in(front: Front, app_cookie: str) -> Visitor:
    """Ada, signed in at the app."""
    return front.visitor(app_cookie)


@pytest.fixture
def page(chromium: Any, front: Front) -> Iterator[Any]:
    """A page of a Chromium that finds both hosts at the proxy."""
    rules = f"MAP *.example.com:443 127.0.0.1:{front.port}"
    browser = chromium.browser_type.launch(
        executable_path=CHROMIUM, args=[*ARGUMENTS, f"--host-resolver-rules={rules}"]
    )
    context = browser.new_context(ignore_https_errors=True)
    context.set_default_timeout(30_000)
    yield context.new_page()
    browser.close()


@pytest.fixture
def mail_of(latchkey_app: Flask, smtp_server: SmtpSink) -> Callable[[str], Mail]:
    """Delivers what waits to be sent, and returns the newest mail to an address."""
    from app import outbox
    from app.extensions import db

    def delivered(address: str) -> list[Mail]:
        with latchkey_app.app_context():
            for message_id in db.session.scalars(sa.select(outbox.Message.id)).all():
                outbox.deliver(message_id)
        return smtp_server.to(address)

    return lambda address: until(lambda: delivered(address))[-1]


@pytest.fixture
def people_of(latchkey_app: Flask) -> Callable[..., Person]:
    """Opens accounts at the service behind the proxies."""
    return People(latchkey_app).open
