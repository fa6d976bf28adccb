"""Accounts as operators see them: paginated lists, one account in full, and lookup by identity or handle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import sqlalchemy as sa

from app.authenticators import totp
from app.crypto.secrets import is_row_id
from app.enrollments.models import Enrollment
from app.errors import Rejected
from app.extensions import db
from app.groups.service import group_names, is_member, member_ids, names_in
from app.users import Identity, User, find_by_identity, read_identity
from app.users.administrators import administrators_among
from app.users.models import Administrator

BATCH = 500
PAGE = 50
"""Accounts per console page."""

LAST_CHARACTER = "\U0010ffff"

STATES = ("administrator", "disabled", "unconfirmed", "deleting")
"""States a list can be filtered by."""


@dataclass(frozen=True, slots=True)
class AccountFilter:
    """Filters of an account list.

    :ivar text: prefix of an email address, phone number or username, or the handle of one account; "" for all
    :ivar state: one of ``STATES``, or ""
    :ivar group: name of a group they belong to, or ""
    """

    text: str = ""
    state: str = ""
    group: str = ""

    def filters(self) -> list[sa.ColumnElement[bool]]:
        """Return the conditions on users, without the text filter."""
        found = [_IN_STATE[self.state]] if self.state else []
        return [*found, is_member(User.id, self.group)] if self.group else found


_IN_STATE: dict[str, sa.ColumnElement[bool]] = {
    "administrator": sa.exists().where(Administrator.user_id == User.id),
    "disabled": User.disabled_at.is_not(None),
    "unconfirmed": User.confirmed_at.is_(None),
    "deleting": User.deletes_at.is_not(None),
}


def page_of(wanted: AccountFilter, after: str = "") -> tuple[list[dict[str, Any]], str | None]:
    """Return a page of accounts as ``described`` does, and the cursor of the next page; None on the last page.

    Without a text, accounts come newest first. Matches of a text are ordered by kind of identity, then by value.
    :param after: cursor of this page, from the previous page
    :raises Rejected: ``api_error`` on ``after`` when it isn't a valid cursor
    """
    if not wanted.text.strip() and wanted.group and not wanted.state:
        return members_of(wanted.group, after)
    if not wanted.text.strip():
        return _newest_page(wanted, after)
    if is_row_id(handle := wanted.text.strip().lower()):
        found = db.session.scalars(sa.select(User).where(User.handle == handle, *wanted.filters())).all()
        return list(_described(found)), None
    return _search_page(wanted, after)


def person_of(handle: str) -> User:
    """Return the account with this handle.

    :raises Rejected: ``not_found`` (404) when there is none
    """
    found = _with_handle(handle)
    if found is None:
        raise Rejected("not_found", status=404)
    return found


def find_account(text: str, field: str) -> User:
    """Return the account with this email address, phone number, username or handle.

    :raises Rejected: ``person_unknown`` on the field
    """
    text = text.strip()
    found = _with_handle(text.lower()) or find_by_identity(read_identity(text))
    if found is None:
        raise Rejected("person_unknown", field=field, identity=text[:254])
    return found


def _with_handle(handle: str) -> User | None:
    user: User | None = None
    if is_row_id(handle):
        user = db.session.scalar(sa.select(User).where(User.handle == handle))
    return user


def _newest_page(wanted: AccountFilter, after: str) -> tuple[list[dict[str, Any]], str | None]:
    older = [User.id < _decode_cursor(after)] if after else []
    rows = sa.select(User).where(*older, *wanted.filters()).order_by(User.id.desc()).limit(PAGE + 1)
    found = db.session.scalars(rows).all()
    return list(_described(found[:PAGE])), str(found[PAGE - 1].id) if len(found) > PAGE else None


def members_of(group: str, after: str = "") -> tuple[list[dict[str, Any]], str | None]:
    """Return a page of a group's members, newest accounts first, as ``page_of`` does."""
    ids = member_ids(group)
    column = ids.selected_columns[0]
    ids = ids.where(column < _decode_cursor(after)) if after else ids
    found = db.session.scalars(ids.order_by(column.desc()).limit(PAGE + 1)).all()
    by_id = {user.id: user for user in db.session.scalars(_users(found[:PAGE]))}
    shown = [by_id[number] for number in found[:PAGE] if number in by_id]
    return list(_described(shown)), str(found[PAGE - 1]) if len(found) > PAGE else None


def _decode_cursor(after: str) -> sa.ColumnElement[int]:
    """Return a cursor as a 64-bit integer, since it may exceed the range of the ID column.

    :raises Rejected: ``api_error`` on ``after`` when it isn't a valid cursor
    """
    if not (after.isdecimal() and len(after) < 19):
        raise Rejected("api_error", field="after")
    return sa.literal(int(after), sa.BigInteger())


def _search_page(wanted: AccountFilter, after: str) -> tuple[list[dict[str, Any]], str | None]:
    stored_forms = dict(_stored_forms(wanted.text))
    kind_after, _, value_after = after.partition(":")
    if after and kind_after not in stored_forms:
        raise Rejected("api_error", field="after")
    kinds = list(stored_forms)
    found: list[tuple[str, Identity]] = []
    for kind in kinds[kinds.index(kind_after) if after else 0 :]:
        last = value_after if kind == kind_after else ""
        rows = _identities(kind, stored_forms[kind], last).join(User).where(*wanted.filters())
        found += [(kind, row) for row in db.session.scalars(rows.limit(PAGE + 1 - len(found)))]
        if len(found) > PAGE:
            break
    shown = found[:PAGE]
    by_id = {user.id: user for user in db.session.scalars(_users([row.user_id for _, row in shown]))}
    in_order = [by_id[number] for number in dict.fromkeys(row.user_id for _, row in shown) if number in by_id]
    following = f"{shown[-1][0]}:{shown[-1][1].value}" if len(found) > PAGE else None
    return list(_described(in_order)), following


def _users(ids: Sequence[int]) -> sa.Select[User]:
    return sa.select(User).where(User.id.in_(ids))


def accounts(wanted: AccountFilter, at_most: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield accounts as ``described`` does: oldest first, or the matches of a text by kind of identity and value.

    Each batch is read from an index, however many accounts there are.
    :param at_most: maximum number of accounts; None for all
    """
    found = _search(wanted, at_most or BATCH) if wanted.text else _all(wanted, at_most or BATCH)
    return islice(found, at_most)


def _all(wanted: AccountFilter, most: int) -> Iterator[dict[str, Any]]:
    last = 0
    while True:
        batch = sa.select(User).where(User.id > last, *wanted.filters()).order_by(User.id).limit(min(most, BATCH))
        found = db.session.scalars(batch).all()
        if not found:
            return
        yield from _described(found)
        last = found[-1].id
        db.session.expunge_all()


def _search(wanted: AccountFilter, most: int) -> Iterator[dict[str, Any]]:
    seen: set[int] = set()
    for kind, begin in _stored_forms(wanted.text):
        after = ""
        while batch := list(db.session.scalars(_identities(kind, begin, after).limit(min(most, BATCH)))):
            after = batch[-1].value
            users = _users(list({row.user_id for row in batch} - seen)).where(*wanted.filters())
            by_id = {user.id: user for user in db.session.scalars(users)}
            in_order = [by_id[number] for number in dict.fromkeys(row.user_id for row in batch) if number in by_id]
            seen |= by_id.keys()
            yield from _described(in_order)
            db.session.expunge_all()


def _stored_forms(prefix: str) -> Iterator[tuple[str, str]]:
    """Yield how a prefix would be stored for each kind of identity."""
    text = prefix.strip()
    yield "email", text.lower()
    yield "username", text.lower()
    if number := "".join(each for each in text if each.isdigit()):
        yield "phone", f"+{number}"


def _identities(kind: str, begin: str, after: str) -> sa.Select[Identity]:
    """Return a query for identities that uses an index.

    On PostgreSQL that requires the "C" collation, since other collations don't support prefix ranges.
    """
    value = Identity.value.collate("C") if db.engine.dialect.name == "postgresql" else Identity.value
    span = [Identity.kind == kind, value >= begin, value < begin + LAST_CHARACTER, value > after]
    return sa.select(Identity).where(*span).order_by(value)


def described(user: User) -> dict[str, Any]:
    """Return one account: handle, email, phone, username, name, methods, groups, disabled, deletes_at, confirmed,
    created_at, administrator, with all its identities and the names of its authenticator apps.

    ``confirmed`` means that the owner has verified an address. No secrets are included.
    """
    [account] = _described([user])
    rows = db.session.scalars(sa.select(Identity).where(Identity.user_id == user.id).order_by(Identity.id))
    apps = [totp.name_of(row) for row in totp.apps_of(user.id)]
    return account | {"authenticators": apps, "identities": [row.value for row in rows]}


def _described(found: Sequence[User]) -> Iterator[dict[str, Any]]:
    ids = [user.id for user in found]
    identities = _by_user(sa.select(Identity).where(Identity.user_id.in_(ids), Identity.is_primary))
    methods = _by_user(sa.select(Enrollment).where(Enrollment.user_id.in_(ids)).order_by(Enrollment.created_at))
    carried = db.session.execute(sa.select(User.id, group_names(User.id)).where(User.id.in_(ids)))
    groups = {row.id: names_in(row.group_names) for row in carried}
    administrators = administrators_among(ids)
    for user in found:
        own = identities.get(user.id, [])
        names = dict.fromkeys(("email", "phone", "username")) | {row.kind: row.value for row in own}
        yield {
            "handle": user.handle,
            **names,
            "name": user.name,
            "methods": list(dict.fromkeys(row.method for row in methods.get(user.id, []))),
            "groups": groups.get(user.id, []),
            "disabled": user.disabled_at is not None,
            "deletes_at": user.deletes_at,
            "confirmed": user.confirmed_at is not None,
            "created_at": user.created_at,
            "administrator": user.id in administrators,
        }


def _by_user(statement: sa.Select[Any]) -> dict[int, list[Any]]:
    grouped: dict[int, list[Any]] = {}
    for row in db.session.scalars(statement):
        grouped.setdefault(row.user_id, []).append(row)
    return grouped
