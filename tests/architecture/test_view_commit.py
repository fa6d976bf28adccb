"""Handlers that change state begin with ``after_this_request(view_commit)``; nothing else commits."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator

import pytest

from tests.architecture.sources import Function, modules

CHANGING = {"POST", "PUT", "PATCH", "DELETE"}

GETS_THAT_CHANGE = {
    "/us-verify-link",
    "/confirm/<token>",
    "/change-email/<token>",
    "/oauth/authorize",
    "/oauth/continue",
    "/oauth/logout",
    "/oauth/userinfo",
    "/gate/continue",
    "/.latchkey/enter",
    "/.latchkey/logout",
}
"""The only safe requests that may change state: links in emails, in the browser that requested them; an app's requests
through the browser, which issue a code to that app (OpenID Connect Core, section 3.1.2.1) or sign out the user of its
ID token (RP-Initiated Logout, section 2); single-use DPoP proofs (RFC 9449, section 11.1); entering a protected
app, bound to the browser that requested it, and signing out of it."""

ENVOY = "/gate/envoy"
"""Answers a proxy, which uses the visitor's method; no method changes anything here."""

COMMITS_OUTSIDE_REQUESTS = (
    *("app/bounces/lmtp.py", "app/cli/", "app/outbox/", "app/serving/startup.py", "app/webhooks/delivery.py"),
)
"""Commands, startup, the worker and the bounce receiver, which have no views and never run inside a request."""

FIRST = "after_this_request(view_commit)"


def handlers(app) -> Iterator[tuple[str, set[str], Callable]]:
    """Yield (path, methods, handler) of every URL rule."""
    for rule in app.url_map.iter_rules():
        if rule.endpoint != "static":
            yield rule.rule, set(rule.methods or ()), app.view_functions[rule.endpoint]


def first_statement(handler: Callable) -> str:
    """Return the source of a handler's first statement after its docstring."""
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(handler)))
    body = next(node for node in ast.walk(ast.parse(source)) if isinstance(node, Function)).body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    return ast.unparse(body[0])


@pytest.mark.one_database
def test_handlers_that_change_state_begin_with_view_commit(app):
    forgetful = [
        path
        for path, methods, handler in handlers(app)
        if (methods & CHANGING or path in GETS_THAT_CHANGE) and first_statement(handler) != FIRST
    ]
    assert forgetful == []


@pytest.mark.one_database
def test_state_changing_handlers_are_separate_from_pages(app):
    both = [path for path, methods, _ in handlers(app) if methods & CHANGING and "GET" in methods]
    both = [path for path in both if not path.startswith(ENVOY)]
    assert both == []


@pytest.mark.one_database
def test_pages_do_not_commit(app):
    safe = [
        path
        for path, methods, handler in handlers(app)
        if not methods & CHANGING and path not in GETS_THAT_CHANGE and first_statement(handler) == FIRST
    ]
    assert safe == []


@pytest.mark.one_database
def test_state_changing_get_links_from_mails_exist(app):
    paths = {path for path, methods, _ in handlers(app) if "GET" in methods}
    assert paths >= GETS_THAT_CHANGE


def test_only_view_commit_commits_during_a_request():
    allowed = ("app/web/commit.py", *COMMITS_OUTSIDE_REQUESTS)
    elsewhere = [
        f"{module.name}:{call.lineno}"
        for module in modules()
        for name in ("session.commit", "begin_nested.commit", "connection.commit")
        for call in module.calls(name)
        if not module.name.startswith(allowed)
    ]
    assert elsewhere == []


def test_view_commit_is_registered_only_in_views():
    """``app.after_request(view_commit)`` would commit for handlers that didn't register it."""
    elsewhere = [
        f"{module.name}:{call.lineno}"
        for module in modules()
        for name in ("after_request", "teardown_request", "teardown_appcontext")
        for call in module.calls(name)
        if "view_commit" in ast.unparse(call)
    ]
    assert elsewhere == []
