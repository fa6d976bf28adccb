"""Accounts as ``flask users`` prints them."""

from __future__ import annotations

from datetime import datetime
from typing import Any


def in_one_line(account: dict[str, Any]) -> str:
    """Return an account as a line of a list."""
    names = " ".join(filter(None, (account["email"], account["phone"], account["username"])))
    marks = {
        "disabled": account["disabled"],
        "unconfirmed": not account["confirmed"],
        "deleting": account["deletes_at"],
    }
    methods = ",".join(account["methods"]) or "nothing to sign in with"
    groups = account["groups"] and f"in {','.join(account['groups'])}"
    return "  ".join(filter(None, (names, methods, groups, *(mark for mark, holds in marks.items() if holds))))


def in_words(value: Any) -> str:
    """Return a field of an account as an operator reads it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return f"{value:%Y-%m-%d %H:%M} UTC" if isinstance(value, datetime) else str(value or "none")
