"""Accounts as an operator sees them, page by page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app.authenticators import totp
from app.enrollments.models import Enrollment
from app.extensions import db
from app.groups.service import group_names, is_member, names_in
from app.users import Identity, User

PAGE = 500
LAST_CHARACTER = "\U0010ffff"


def accounts(*, disabled_only: bool = False, group: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield each account, oldest first: handle, email, phone, username, methods, groups, disabled, deletes_at,
    confirmed, created_at.

    ``confirmed`` tells whether its owner has proved an address. No secret is among them.
    :param group: only its members
    """
    last = 0
    while True:
        page = sa.select(User).where(User.id > last, *_wanted(disabled_only, group)).order_by(User.id).limit(PAGE)
        found = db.session.scalars(page).all()
        if not found:
            return
        yield from _described(found)
        last = found[-1].id
        db.session.expunge_all()


def search_accounts(prefix: str, *, disabled_only: bool = False, group: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield the same of each account with an identity that begins with ``prefix``, by kind and in their order.

    Each page is read from an index, however many accounts there are.
    """
    seen: set[int] = set()
    for kind, begin in _readings(prefix):
        after = ""
        while page := _page_of(kind, begin, after):
            after = page[-1].value
            wanted = sa.select(User).where(User.id.in_({row.user_id for row in page} - seen))
            wanted = wanted.where(*_wanted(disabled_only, group))
            by_id = {user.id: user for user in db.session.scalars(wanted)}
            in_order = [by_id[number] for number in dict.fromkeys(row.user_id for row in page) if number in by_id]
            seen |= by_id.keys()
            yield from _described(in_order)
            db.session.expunge_all()


def _wanted(disabled_only: bool, group: str | None) -> list[sa.ColumnElement[bool]]:
    wanted: list[sa.ColumnElement[bool]] = [User.disabled_at.is_not(None)] if disabled_only else []
    return wanted if group is None else [*wanted, is_member(User.id, group)]


def _readings(prefix: str) -> Iterator[tuple[str, str]]:
    """Return what the beginning of an identity of each kind would be stored as."""
    text = prefix.strip()
    yield "email", text.lower()
    yield "username", text.lower()
    if number := "".join(each for each in text if each.isdigit()):
        yield "phone", f"+{number}"


def _page_of(kind: str, begin: str, after: str) -> list[Identity]:
    """Return identities from an index: on PostgreSQL that of the bytes, for other orders know no beginnings."""
    value = Identity.value.collate("C") if db.engine.dialect.name == "postgresql" else Identity.value
    span = [Identity.kind == kind, value >= begin, value < begin + LAST_CHARACTER, value > after]
    return list(db.session.scalars(sa.select(Identity).where(*span).order_by(value).limit(PAGE)))


def described(user: User) -> dict[str, Any]:
    """Return the same of one account, with all its identities and the names of its authenticator apps."""
    [account] = _described([user])
    rows = db.session.scalars(sa.select(Identity).where(Identity.user_id == user.id).order_by(Identity.id))
    apps = [totp.name_of(row) for row in totp.apps_of(user.id)]
    return account | {"authenticators": apps, "identities": [row.value for row in rows]}


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


def _described(found: Sequence[User]) -> Iterator[dict[str, Any]]:
    ids = [user.id for user in found]
    identities = _by_user(sa.select(Identity).where(Identity.user_id.in_(ids), Identity.is_primary))
    methods = _by_user(sa.select(Enrollment).where(Enrollment.user_id.in_(ids)).order_by(Enrollment.created_at))
    carried = db.session.execute(sa.select(User.id, group_names(User.id)).where(User.id.in_(ids)))
    groups = {row.id: names_in(row.group_names) for row in carried}
    for user in found:
        own = identities.get(user.id, [])
        names = dict.fromkeys(("email", "phone", "username")) | {row.kind: row.value for row in own}
        yield {
            "handle": user.handle,
            **names,
            "methods": list(dict.fromkeys(row.method for row in methods.get(user.id, []))),
            "groups": groups.get(user.id, []),
            "disabled": user.disabled_at is not None,
            "deletes_at": user.deletes_at,
            "confirmed": user.confirmed_at is not None,
            "created_at": user.created_at,
        }


def _by_user(statement: sa.Select[Any]) -> dict[int, list[Any]]:
    grouped: dict[int, list[Any]] = {}
    for row in db.session.scalars(statement):
        grouped.setdefault(row.user_id, []).append(row)
    return grouped
