"""Accounts as ``flask users`` prints them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from app.command_language import N_, gettext


def in_one_line(account: dict[str, Any]) -> str:
    """Return an account as a line of a list."""
    names = " ".join(filter(None, (account["email"], account["phone"], account["username"])))
    marks = {
        N_("disabled"): account["disabled"],
        N_("unconfirmed"): not account["confirmed"],
        N_("deleting"): account["deletes_at"],
    }
    methods = ",".join(account["methods"]) or gettext("nothing to sign in with")
    groups = account["groups"] and gettext("in {groups}", groups=",".join(account["groups"]))
    return "  ".join(filter(None, (names, methods, groups, *(gettext(mark) for mark, holds in marks.items() if holds))))


TITLES = {
    "handle": N_("handle"), "email": N_("email"), "phone": N_("phone"), "username": N_("username"), "name": N_("name"),
    "methods": N_("methods"), "groups": N_("groups"), "disabled": N_("disabled"), "deletes_at": N_("deletes at"),
    "confirmed": N_("confirmed"), "created_at": N_("created at"), "administrator": N_("administrator"),
    "authenticators": N_("authenticators"), "identities": N_("identities"),
}  # fmt: skip
"""What operators call the fields of an account, which JSON has under their own names."""


def field_title(name: str) -> str:
    """Return what an operator calls a field of an account."""
    return gettext(TITLES[name])


def in_words(value: Any) -> str:
    """Return a field of an account as an operator reads it."""
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if isinstance(value, list):
        return ", ".join(value) or gettext("none")
    return f"{value:%Y-%m-%d %H:%M} UTC" if isinstance(value, datetime) else str(value or gettext("none"))
