"""API tokens are rejected by every endpoint, except those in one list."""

from __future__ import annotations

import re

import pytest

from app.web.access import OPEN, REQUIRED, SCOPE_OF_APPS, SCOPE_OF_CONSOLE, SCOPES
from tests.functional.admin.conftest import make_administrator
from tests.signed_in import sign_in

SAFE = {"GET", "HEAD", "OPTIONS"}

CONSOLE = "admin."
"""Prefix of the console's endpoints, which have a separate scope."""

pytestmark = pytest.mark.one_database


def test_scope_list_names_existing_endpoints_and_scopes(app):
    assert set(REQUIRED) | OPEN <= set(app.view_functions)
    assert set(REQUIRED.values()) | {SCOPE_OF_APPS, SCOPE_OF_CONSOLE} == set(SCOPES)


def test_read_scope_covers_only_safe_methods(app):
    changing = {rule.endpoint for rule in app.url_map.iter_rules() if set(rule.methods or ()) - SAFE}
    assert {name for name, scope in REQUIRED.items() if scope == "read"} & changing == set()


def test_unlisted_endpoints_reject_a_token_with_every_scope(app, json_wire, people):
    wanted = {"name": "all", "scopes": list(SCOPES), "expires_in_days": 1}
    token = sign_in(json_wire, make_administrator(app, people.open())).post("/tokens", **wanted).json["token"]
    headers = {"Authentication-Token": token, "Accept": "application/json"}
    let_in = []
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<[^>]+>", "x", rule.rule)
        for method in set(rule.methods or ()) - {"OPTIONS", "HEAD"}:
            answer = app.test_client(use_cookies=False).open(path, method=method, headers=headers)
            if answer.status_code != 403 and rule.endpoint not in OPEN and not rule.endpoint.startswith(CONSOLE):
                let_in.append(rule.endpoint)
    assert set(let_in) <= set(REQUIRED)


def test_console_rejects_a_token_without_the_admin_scope(app, json_wire, people):
    wanted = {
        "name": "others",
        "scopes": [scope for scope in SCOPES if scope != SCOPE_OF_CONSOLE],
        "expires_in_days": 1,
    }
    token = sign_in(json_wire, make_administrator(app, people.open())).post("/tokens", **wanted).json["token"]
    headers = {"Authentication-Token": token, "Accept": "application/json"}
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith(CONSOLE):
            method = "GET" if "GET" in rule.methods else "POST"
            path = re.sub(r"<[^>]+>", "x", rule.rule)
            answer = app.test_client(use_cookies=False).open(path, method=method, headers=headers)
            assert answer.status_code == 403, path
