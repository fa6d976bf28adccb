"""Every address of the service, read off the URL map, so that a new one is tested without being named here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask

from tests.databases import Database
from tests.functional.admin.conftest import make_administrator
from tests.signed_in import sign_in
from tests.wire import Wire

WANTS_SIGNED_IN = (
    "/us-setup",
    "/us-authenticator-",
    "/us-verify",
    "/verify",
    "/admin",
    "/sessions",
    "/known-browsers",
    "/activity",
    "/tokens",
    "/apps/remove",
    "/change-email",
    "/device",
    "/identities",
    "/my-data",
    "/passkey-offer",
    "/tf-setup",
    "/wan-register",
    "/wan-rename",
    "/wan-delete",
    "/wan-verify",
    "/mf-recovery-codes",
    "/recover/stop",
)


OF_APPS = frozenset((
    "/hooks/mail/<provider>",
    "/gate/envoy", "/gate/envoy/<anything:_rest>",
    "/oauth/authorize", "/oauth/device", "/oauth/introspect", "/oauth/logout", "/oauth/par", "/oauth/register",
    "/oauth/register/<client_id>", "/oauth/revoke", "/oauth/token", "/oauth/userinfo",
))  # fmt: skip
"""What apps, proxies and mail providers post to, by the protocol's own rules: tests/functional/oidc, forward_auth and
bounces have their bad input, and why they need no CSRF token."""


def addresses(app: Flask, method: str) -> list[str]:
    """Return every path of ours that takes ``method``, with a value for each of its parameters."""
    rules = [rule for rule in app.url_map.iter_rules() if method in (rule.methods or ())]
    paths = {rule.rule for rule in rules if rule.endpoint != "static"} - (OF_APPS if method != "GET" else frozenset())
    return sorted("/".join("x" if "<" in part else part for part in path.split("/")) for path in paths)


def wants_signed_in(path: str) -> bool:
    """Say whether only somebody who is signed in comes as far as the form at ``path``."""
    return path.startswith(WANTS_SIGNED_IN) and not path.startswith(("/us-verify-link", "/my-data/undo"))


@pytest.fixture
def visitor(wire: Wire, people: Any) -> Callable[[str], Wire]:
    """Returns a client that gets as far as the form at a path: ``visitor("/us-setup")`` is signed in."""
    ada = people.open(email="ada@example.com")
    grace = make_administrator(wire.app, people.open(email="grace@example.com"))

    def come(path: str) -> Wire:
        client = wire.elsewhere()
        if path.startswith("/admin"):
            sign_in(client, grace).get("/admin")  # what opens the console is an event of its own
            return client
        if wants_signed_in(path):
            return sign_in(client, ada)
        client.fetch_csrf()
        return client

    return come


@pytest.fixture
def unchanged(database: Database) -> Callable[[], Any]:
    """Fails when a block changes any row: ``with unchanged(): ...``."""

    def dump() -> dict[str, list[Any]]:
        tables = ("user", "identity", "enrolled_method", "challenge", "auth_session", "message", "event")
        tables += ("personal_token", "refresh_token")
        return {table: sorted(map(str, database.query(f'SELECT * FROM "{table}"'))) for table in tables}

    @contextmanager
    def watch() -> Iterator[None]:
        before = dump()
        yield
        assert dump() == before

    return watch
