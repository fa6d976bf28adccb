"""Every path of the service, from the URL map, so that new ones are tested automatically."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
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
    """Return every path that supports ``method``, with a value for each parameter."""
    rules = [rule for rule in app.url_map.iter_rules() if method in (rule.methods or ())]
    paths = {rule.rule for rule in rules if rule.endpoint != "static"} - (OF_APPS if method != "GET" else frozenset())
    return sorted("/".join("x" if "<" in part else part for part in path.split("/")) for path in paths)


def shared_out(paths: Iterable[str], values: Sequence[Any], each: int, first: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield pairs of a path and a value: each path with the next ``each`` of the values, in turn.

    For what one place of the code does for every path: each path and each value is tested, but not every pair.

    :param first: index of the first path's first value
    """
    turn = islice(cycle(values), first, None)
    for path in paths:
        for value in islice(turn, each):
            yield path, value


def wants_signed_in(path: str) -> bool:
    """Return whether only signed-in people reach the form at ``path``."""
    return path.startswith(WANTS_SIGNED_IN) and not path.startswith(("/us-verify-link", "/my-data/undo"))


@pytest.fixture
def visitor(wire: Wire, people: Any) -> Visitors:
    """Returns a client that gets as far as the form at a path: ``visitor("/us-setup")`` is signed in.

    Always the same three, until ``visitor.leave()``.
    """
    return Visitors(wire, people)


class Visitors:
    """An administrator, a signed-in user and a signed-out one, each created on first use."""

    def __init__(self, wire: Wire, people: Any) -> None:
        self.wire = wire
        self.ada = people.open(email="ada@example.com")
        self.grace = make_administrator(wire.app, people.open(email="grace@example.com"))
        self.clients: dict[str, Wire] = {}

    def __call__(self, path: str) -> Wire:
        kind = "admin" if path.startswith("/admin") else "signed in" if wants_signed_in(path) else ""
        if kind not in self.clients:
            self.clients[kind] = self._new(kind)
        return self.clients[kind]

    def leave(self) -> None:
        """Use new clients from now on: a request may have ended a session."""
        self.clients.clear()

    def _new(self, kind: str) -> Wire:
        client = self.wire.elsewhere()
        if kind == "admin":
            sign_in(client, self.grace).get("/admin")  # opening the console records an event
        elif kind:
            sign_in(client, self.ada)
        else:
            client.fetch_csrf()
        return client


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
