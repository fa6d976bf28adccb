"""Names of people, in the format of each product."""

from __future__ import annotations

import pytest

from tests.functional.operator.imports.conftest import SETTINGS, json_lines

pytestmark = [SETTINGS, pytest.mark.one_database]

EMAIL = "ada@example.com"
DJANGO = {"model": "auth.user", "pk": 1}
FLASK = {"id": 1, "email": EMAIL, "password": "", "active": 1, "fs_uniquifier": "f1", "confirmed_at": "2024-01-01"}
SUPABASE = {"id": "u1", "aud": "authenticated", "role": "authenticated", "email": EMAIL, "encrypted_password": ""}
AUTH0 = {"user_id": "auth0|1", "email": EMAIL, "email_verified": True}
KEYCLOAK = {"id": "1", "username": "ada", "email": EMAIL, "emailVerified": True, "credentials": [], "realmRoles": []}
KRATOS = {"id": "1", "schema_id": "default", "state": "active", "credentials": {}}
LONG = "x" * 65

EXPORTS = {
    "auth0": ("auth0", AUTH0 | {"name": "Ada Lovelace"}, "Ada Lovelace"),
    "auth0, whose name is the address": ("auth0", AUTH0 | {"name": EMAIL, "given_name": "Ada"}, "Ada"),
    "auth0, without one": ("auth0", AUTH0 | {"name": EMAIL}, None),
    "django": (
        "django",
        DJANGO | {"fields": {"username": "ada", "email": EMAIL, "password": "!", "first_name": "Ada", "last_name": ""}},
        "Ada",
    ),
    "flask-security": ("flask-security", FLASK | {"first_name": "Ada", "last_name": "Lovelace"}, "Ada Lovelace"),
    "keycloak": ("keycloak", KEYCLOAK | {"firstName": "Ada", "lastName": "Lovelace"}, "Ada Lovelace"),
    "keycloak, too long": ("keycloak", KEYCLOAK | {"firstName": LONG}, None),
    "kratos, a text": ("kratos", KRATOS | {"traits": {"email": EMAIL, "name": "Ada Lovelace"}}, "Ada Lovelace"),
    "kratos, in parts": (
        "kratos",
        KRATOS | {"traits": {"email": EMAIL, "name": {"first": "Ada", "last": "Lovelace"}}},
        "Ada Lovelace",
    ),
    "supabase": ("supabase", SUPABASE | {"raw_user_meta_data": {"full_name": "Ada Lovelace"}}, "Ada Lovelace"),
}


@pytest.mark.parametrize(("product", "account", "name"), EXPORTS.values(), ids=EXPORTS)
def test_valid_display_name_is_imported_and_an_invalid_one_is_reported(bring, accounts, product, account, name):
    result = bring(product, json_lines(account))
    assert result.exit_code == 0, result.stdout + result.stderr
    assert accounts()[EMAIL]["name"] == name
    assert ("A name that can't be one here" in result.stdout) is (LONG in str(account))
