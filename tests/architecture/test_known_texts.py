"""Everything that is stored in English and shown on pages has a translation."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import product

import pytest

from app.account.activity import DESCRIPTIONS
from app.admin.event_texts import FACTS, TEXTS
from app.outbox.reasons import reason_text
from tests.architecture.sources import modules

pytestmark = pytest.mark.one_database

FILLED_IN = {
    "server": ("mail server", "provider", "app"),
    "message.channel": ("mail", "sms", "logout"),
    "verb": ("redirects", "answered"),
}
"""Values of expressions in f-strings that are words, not numbers or names of errors."""

NOT_FACTS = frozenset(("autocommit", "challenge_id"))
NAME = re.compile(r"[a-z_]+\.[a-z_]+\Z")


def written(node: ast.expr) -> Iterator[str]:
    """Yield the possible values of an expression, with 550 for numbers."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from written(node.body)
        yield from written(node.orelse)
    elif isinstance(node, ast.JoinedStr):
        yield from map("".join, product(*(_choices(part) for part in node.values)))


def _choices(part: ast.expr) -> tuple[str, ...]:
    if isinstance(part, ast.FormattedValue):
        return FILLED_IN.get(ast.unparse(part.value), ("550",))
    return (str(part.value),) if isinstance(part, ast.Constant) else ("",)


def reasons() -> set[str]:
    """Return the reasons that channels and deliveries store."""
    found: set[str] = set()
    for module in modules():
        if not module.name.startswith(("app/outbox/", "app/webhooks/")):
            continue
        for called, place in (("Failed", 0), ("Postponed", 1), ("_release", 2), ("Answer", 1)):
            for call in module.calls(called):
                if len(call.args) > place:
                    found.update(written(call.args[place]))
    return found


def events() -> Iterator[tuple[str, set[str]]]:
    """Yield the names of recorded events, with the names of the facts passed in the call."""
    for module in modules():
        for call in (*module.calls("record"), *module.calls("record_each"), *module.calls("_record_change")):
            named = {keyword.arg for keyword in call.keywords if keyword.arg} - NOT_FACTS
            yield from ((name, named) for name in written(call.args[0]) if NAME.match(name)) if call.args else ()
        if module.name.startswith("app/admin/"):
            for call in module.calls("record_action"):
                named = {keyword.arg for keyword in call.keywords if keyword.arg} - NOT_FACTS
                yield from ((f"admin.{name}", named) for name in written(call.args[0]))


def test_every_stored_reason_has_a_translatable_text(app):
    with app.test_request_context():
        unknown = sorted(reason for reason in reasons() if not reason_text(reason).is_known)
    assert len(reasons()) > 40
    assert unknown == []


def test_every_event_has_a_title():
    titled = {key.partition(":")[0] for key in (*TEXTS, *DESCRIPTIONS)}
    found = {name for name, _ in events()}
    assert len(found) > 90
    assert sorted(found - titled) == []


def test_every_event_fact_has_a_label():
    assert sorted({fact for _, facts in events() for fact in facts} - FACTS.keys()) == []
