"""Clients read from rows, including those of another release."""

from __future__ import annotations

import pytest

from app.oidc.clients import find_client
from tests.client_rows import register


@pytest.mark.both_databases
def test_unknown_field_of_a_newer_release_is_ignored(app):
    register(app, secret="", auth_method="none", not_yet_a_field=[1, 2])
    with app.app_context():
        assert find_client("app").name == "An app"


@pytest.mark.parametrize("fields", [{"name": ""}, {"redirect_uris": ["javascript:alert(1)"]}, {"pkce": "plain"}])
def test_row_with_invalid_fields_is_not_found(app, fields):
    register(app, **fields)
    with app.app_context():
        assert find_client("app") is None


@pytest.mark.parametrize("client_id", ["", " ", "\0", "ä", "x" * 256, "x y", "'; DROP TABLE oauth_client"])
def test_invalid_client_id_runs_no_query(app, statements, client_id):
    with app.app_context(), statements() as seen:
        assert find_client(client_id) is None
    assert seen == []
