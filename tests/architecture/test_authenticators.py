"""Outside ``app/authenticators``, no code compares names of authentication methods.

What differs between methods is a trait (``app/enrollments/methods.py``) or a method of ``Authenticator``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from app.authenticators.registry import AUTHENTICATORS
from tests.architecture.sources import Module, modules

NAMES = {each.name for each in AUTHENTICATORS}
ALSO_KINDS_AND_CHANNELS = {"email", "sms"}
"""Method names that are also a kind of identity or a message channel, so comparing them can be correct."""
OTHER_COMPARISONS = (
    "{'password', 'password_hash'} <= given.keys()",  # columns of an import
    "'password' not in form",  # a field
    "form.help_setup.data == recovery_codes.METHOD",  # an option of /tf-rescue, named by the API
)
ALLOWED = ("app/authenticators/", "config/", "app/cli/imports/")
"""Where comparisons are allowed: the last one reads other products' names, some of which equal ours."""

CONSTANTS = ("METHOD", "EmailCode.name", "SmsCode.name", "Passkey.method", "RecoveryCode.method")


def _operands(node: ast.AST) -> list[ast.expr]:
    """Return the operands of a comparison or ``match``, including the elements of a literal collection."""
    if isinstance(node, ast.Compare):
        found = [node.left, *node.comparators]
    elif isinstance(node, ast.Match):
        found = [node.subject, *(each.value for each in ast.walk(node) if isinstance(each, ast.MatchValue))]
    else:
        return []
    more = [element for each in found if isinstance(each, ast.Tuple | ast.List | ast.Set) for element in each.elts]
    return [*found, *more]


def _comparisons(module: Module) -> Iterator[str]:
    """Yield the source of each comparison with a method's name."""
    for node in ast.walk(module.tree):
        operands = _operands(node)
        names = {each.value for each in operands if isinstance(each, ast.Constant) and each.value in NAMES}
        text = " ".join(ast.unparse(each) for each in operands)
        by_constant = any(text.endswith(constant) or f"{constant} " in text for constant in CONSTANTS)
        says_method = "method" in text.lower() and ".reaches" not in text
        if ast.unparse(node) in OTHER_COMPARISONS:
            continue
        if by_constant or names - ALSO_KINDS_AND_CHANNELS or (names and says_method):
            yield f"{module.name}:{node.lineno}: {ast.unparse(node)[:80]}"


def test_only_authenticators_compare_method_names():
    outside = (module for module in modules() if not module.name.startswith(ALLOWED))
    assert [found for module in outside for found in _comparisons(module)] == []


@pytest.mark.parametrize(
    ("source", "is_found"),
    [
        ("proof.method == 'sms'", True),
        ("name in ('webauthn', 'email')", True),
        ("'password' in settings.methods", True),
        ("row.method != passkeys.METHOD", True),
        ("kind == 'email'", False),
        ("message.channel == 'sms'", False),
        ("match method:\n    case 'authenticator':\n        pass", True),
    ],
)
def test_method_name_comparisons_are_detected(source, is_found):
    assert bool(list(_comparisons(Module("app/any.py", source, ast.parse(source))))) is is_found
