"""docs/apps.md documents every field of a client, with its default."""

from __future__ import annotations

import re

from app.cli import client_check
from app.oidc.client_file import FIELDS
from app.oidc.clients import DEFAULT_SCOPES, Client
from tests.databases import ROOT

TEXT = (ROOT / "docs/apps.md").read_text()
ROWS = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", TEXT.partition("## The clients file")[2], re.MULTILINE))


def said(field: str) -> str:
    """Return a field's default as the table has it."""
    if field in ("secret_digest", "secret_file", "logo"):
        return "none"
    if Client.model_fields[field].is_required():
        return "required"
    default = Client.model_fields[field].get_default()
    if default == DEFAULT_SCOPES:
        return "all"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, tuple):
        return ", ".join(f"`{each}`" for each in default) or "none"
    return f"`{default}`" if default else "none"


def test_docs_table_lists_every_client_field_with_its_default():
    assert {field: default for field, default in ROWS.items() if field in FIELDS} == {f: said(f) for f in FIELDS}


def test_docs_table_lists_every_clients_command():
    documented = set(re.findall(r"^\| `flask clients ([\w-]+)", TEXT, re.MULTILINE)) | {"enable"}
    assert documented == set(client_check.clients.commands)


def test_docs_table_lists_every_authentication_failure_reason():
    raised = set(re.findall(r'InvalidAssertion\("(\w+)"\)', (ROOT / "app/oidc/client_auth.py").read_text()))
    reasons = raised | {"unknown", "method", "secret"}
    table = TEXT.partition("## When an app can't authenticate")[2]
    assert set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)))) == reasons
