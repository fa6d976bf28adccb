"""error_description has only allowed characters (RFC 6749, section 4.1.2.1), everywhere in the code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import app.oidc

FITTING = set(map(chr, range(0x20, 0x7F))) - set('"\\')
RAISED = {"OAuthError": 1, "refusal": 1, "AuthorizationError": 1}
"""What is called with a description, and its place among the arguments."""


def descriptions() -> Iterator[tuple[str, str]]:
    """Yield where descriptions are written, and their constant parts."""
    for path in Path(app.oidc.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and len(node.args) > RAISED.get(name_of(node.func), 99):
                for part in ast.walk(node.args[RAISED[name_of(node.func)]]):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        yield f"{path.name}:{part.lineno}", part.value


def name_of(called: ast.expr) -> str:
    return called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""


def test_every_error_description_uses_only_allowed_characters():
    found = list(descriptions())
    assert len(found) > 40
    assert [(where, text) for where, text in found if not set(text) <= FITTING] == []
