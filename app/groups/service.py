"""Create and delete groups, add and remove members, and look up which groups an account is in.

Each change is a conditional statement, so two concurrent ones count as one, and an event is only recorded if something
changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite supports this INSERT too

from app import clock
from app.audit import record, record_each
from app.crypto import secrets
from app.extensions import db, execute_update, this_app
from app.groups.models import MAX_NAME_LENGTH, Group, GroupMembership
from app.users import User

if TYPE_CHECKING:
    from flask import Flask

MembershipEndHook = Callable[[Sequence[int]], None]
"""Called with the ids of the accounts that left a group, however many there are."""

_REGISTERED = "latchkey.membership_end_hooks"

NAME_RULE = f"lower-case letters, digits, . _ and -, at most {MAX_NAME_LENGTH}, and begins with a letter or digit"
SEPARATOR = ","
"""Separates several names in one text; no name contains it."""

_NAME = re.compile(rf"[a-z0-9][a-z0-9._-]{{0,{MAX_NAME_LENGTH - 1}}}")
_group, _membership = Group.__table__, GroupMembership.__table__
_member_count = sa.select(sa.func.count()).where(_membership.c.group_id == _group.c.id).scalar_subquery()
_SUMMARIES = sa.select(_group.c.name, _group.c.title, _member_count, _group.c.created_at)

MAX_COUNTED = 1000
"""Maximum number of members that a page of groups counts."""

_one: sa.ColumnElement[int] = sa.literal_column("1")
_bounded_members = sa.select(_one).where(_membership.c.group_id == _group.c.id).limit(MAX_COUNTED + 1)
_bounded_count = sa.select(sa.func.count()).select_from(_bounded_members.correlate(_group).subquery()).scalar_subquery()
_BOUNDED = sa.select(_group.c.name, _group.c.title, _bounded_count, _group.c.created_at)


def register_membership_end_hook(app: Flask, hook: MembershipEndHook) -> None:
    """Register a hook to run for accounts that are no longer in a group."""
    app.extensions.setdefault(_REGISTERED, []).append(hook)


def run_membership_end_hooks(user_ids: Sequence[int]) -> None:
    """Run the hooks for ended memberships."""
    for hook in this_app().extensions.get(_REGISTERED, ()):
        hook(user_ids)


class UnknownGroup(LookupError):
    """There is no group with this name, or it was deleted."""


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """A group and its number of members."""

    name: str
    title: str
    members: int
    created_at: datetime


def is_name(text: str) -> bool:
    """Return whether a group can have this name, which is used as is in claims, headers and rules of apps."""
    return _NAME.fullmatch(text) is not None


def create(name: str, title: str = "", *, by: str) -> bool:
    """Create a group; return False if the name is taken, leaving that group unchanged.

    :param title: what people read; defaults to the name
    :param by: who does it, for the event: ``operator``
    :raises ValueError: if no group can have this name (``is_name``)
    """
    if not is_name(name):
        raise ValueError(f"the name of a group has {NAME_RULE}")
    row = {"id": secrets.row_id(), "name": name, "title": title or name, "created_at": clock.now()}
    inserted = insert(_group).values(row).on_conflict_do_nothing().returning(_group.c.id)
    if db.session.scalar(inserted) is None:
        return False
    record("group.created", group=name, by=by)
    return True


def delete(name: str, *, by: str) -> int:
    """Delete a group; return how many members it had. An event is recorded for each of them.

    :raises UnknownGroup: if there is no group with this name
    """
    _lock(name)
    is_membership = _membership.c.group_id == _id_of(name)
    members = db.session.scalars(sa.delete(_membership).where(is_membership).returning(_membership.c.user_id)).all()
    execute_update(sa.delete(_group).where(_group.c.name == name))
    _record_each("group.member_removed", [(user_id, name) for user_id in members], by)
    record("group.deleted", group=name, members=len(members), by=by)
    run_membership_end_hooks(members)
    return len(members)


def add_member(name: str, user_id: int, *, by: str) -> bool:
    """Add an account to a group; return False if it is already in it.

    :raises UnknownGroup: if there is no such group, or it is being deleted
    """
    row = sa.select(_group.c.id, User.id, sa.literal(clock.now(), _membership.c.created_at.type))
    row = row.join_from(_group, User, User.id == user_id).where(_group.c.name == name)
    row = row.with_for_update(read=True)  # waits for a concurrent delete of the group, or makes it wait
    added = insert(_membership).from_select(["group_id", "user_id", "created_at"], row).on_conflict_do_nothing()
    if db.session.scalar(added.returning(_membership.c.user_id)) is None:
        _check_exists(name)
        return False
    record("group.member_added", user_id, group=name, by=by)
    return True


def remove_member(name: str, user_id: int, *, by: str) -> bool:
    """Remove an account from a group; return False if it is not in it.

    :raises UnknownGroup: if there is no such group
    """
    if not is_name(name):  # PostgreSQL rejects NUL
        raise UnknownGroup(name)
    is_membership = (_membership.c.group_id == _id_of(name), _membership.c.user_id == user_id)
    if execute_update(sa.delete(_membership).where(*is_membership)) != 1:
        _check_exists(name)
        return False
    record("group.member_removed", user_id, group=name, by=by)
    run_membership_end_hooks([user_id])
    return True


def unknown_names(names: Collection[str]) -> set[str]:
    """Return the names that no group has. One statement, or none without names."""
    if not names:
        return set()
    return set(names) - set(db.session.scalars(sa.select(_group.c.name).where(_group.c.name.in_(names))))


def add_members(names_by_user: Mapping[int, Sequence[str]], *, by: str) -> None:
    """Add accounts created in this transaction to groups. Three statements, however many there are.

    :raises UnknownGroup: if one of the groups doesn't exist; its name is the exception's argument
    """
    wanted = {name for names in names_by_user.values() for name in names}
    if not wanted:
        return
    known = sa.select(_group.c.name, _group.c.id).where(_group.c.name.in_(wanted)).with_for_update(read=True)
    ids = {name: group_id for name, group_id in db.session.execute(known)}  # noqa: C416 - rows are no pairs to mypy
    if missing := sorted(wanted - ids.keys()):
        raise UnknownGroup(missing[0])
    pairs = [(user_id, name) for user_id, names in names_by_user.items() for name in names]
    now = clock.now()
    rows = [{"group_id": ids[name], "user_id": user_id, "created_at": now} for user_id, name in pairs]
    db.session.execute(sa.insert(_membership), rows)
    _record_each("group.member_added", pairs, by)


def groups() -> list[GroupSummary]:
    """Return every group by name, with its number of members. One statement."""
    return [GroupSummary(*row) for row in db.session.execute(_SUMMARIES.order_by(_group.c.name))]


def titles() -> list[tuple[str, str]]:
    """Return the name and title of every group, by name. One statement, which doesn't count members."""
    rows = sa.select(_group.c.name, _group.c.title).order_by(_group.c.name)
    return [(row.name, row.title) for row in db.session.execute(rows)]


def groups_after(after: str, most: int) -> list[GroupSummary]:
    """Return at most ``most`` groups with names after this one, by name.

    ``members`` stops at one more than ``MAX_COUNTED``, so that a group with a million members costs no more than
    any other.
    """
    rows = _BOUNDED.where(_group.c.name > after).order_by(_group.c.name).limit(most)
    return [GroupSummary(*row) for row in db.session.execute(rows)]


def bounded_summary_of(name: str) -> GroupSummary | None:
    """Return one group like ``groups_after`` does, or None."""
    row = db.session.execute(_BOUNDED.where(_group.c.name == name)).first()
    return GroupSummary(*row) if row else None


def member_ids(name: str) -> sa.Select[int]:
    """Return a query for the ids of a group's members, which only reads the index of memberships."""
    return sa.select(_membership.c.user_id).where(_membership.c.group_id == _id_of(name))


def summary_of(name: str) -> GroupSummary | None:
    """Return one group with its number of members, or None."""
    row = db.session.execute(_SUMMARIES.where(_group.c.name == name)).first()
    return GroupSummary(*row) if row else None


def groups_of(user_id: int) -> list[str]:
    """Return the names of an account's groups, sorted. One statement."""
    query = sa.select(_group.c.name).join(_membership, _membership.c.group_id == _group.c.id)
    return list(db.session.scalars(query.where(_membership.c.user_id == user_id).order_by(_group.c.name)))


def is_member(user_id: sa.SQLColumnExpression[int], name: str) -> sa.ColumnElement[bool]:
    """Return a SQL expression for whether an account is in the group with this name.

    :param user_id: a column of the enclosing statement
    """
    return is_member_of_any(user_id, [name])


def is_member_of_any(
    user_id: sa.SQLColumnExpression[int], names: Sequence[str | sa.ColumnElement[str]]
) -> sa.ColumnElement[bool]:
    """Return a SQL expression for whether an account is in a group with one of these names.

    :param user_id: a column of the enclosing statement
    :param names: bind parameters if it is used in a ``CompiledStatement``
    """
    return _is_member(user_id, lambda group: group.c.name.in_(names))


def is_member_of_listed(
    user_id: sa.SQLColumnExpression[int], names: sa.SQLColumnExpression[str]
) -> sa.ColumnElement[bool]:
    """Return a SQL expression for whether an account is in a group that a list in another row names.

    :param user_id: a column of the enclosing statement
    :param names: a JSON array of names, as text: no name contains a quotation mark, so replacing finds a whole one
    """
    quote: Any = sa.literal_column("'\"'")  # a literal, so that it works in a CompiledStatement
    return _is_member(
        user_id, lambda group: sa.func.replace(names, quote.concat(group.c.name).concat(quote), "") != names
    )


def _is_member(
    user_id: sa.SQLColumnExpression[int], of: Callable[[Any], sa.ColumnElement[bool]]
) -> sa.ColumnElement[bool]:
    group, membership = _group.alias(), _membership.alias()
    joined = group.join(membership, membership.c.group_id == group.c.id)
    exists = sa.exists().select_from(joined).where(of(group), membership.c.user_id == user_id)
    return exists.correlate_except(group, membership)


def group_names(user_id: sa.SQLColumnExpression[int]) -> sa.ColumnElement[str]:
    """Return a SQL expression for the names of an account's groups, sorted, in one column; "" for none.

    Meant to be added to other statements; ``names_in`` parses it.

    :param user_id: a column of the enclosing statement
    """
    group, membership = _group.alias(), _membership.alias()
    query = sa.select(group.c.name).join(membership, membership.c.group_id == group.c.id)
    query = query.where(membership.c.user_id == user_id).order_by(group.c.name)
    ordered = query.correlate_except(group, membership).subquery()  # SQLite before 3.44 can't sort in an aggregate
    separator: Any = sa.literal_column(f"'{SEPARATOR}'")  # a literal, so that it works in a CompiledStatement
    joined = sa.func.aggregate_strings(ordered.c.name, separator)
    return sa.func.coalesce(sa.select(joined).scalar_subquery(), "").label("group_names")


def names_in(text: str) -> list[str]:
    """Return the names in a ``group_names`` column."""
    return text.split(SEPARATOR) if text else []


def _id_of(name: str) -> sa.ScalarSelect[str]:
    return sa.select(_group.c.id).where(_group.c.name == name).scalar_subquery()


def _check_exists(name: str) -> None:
    if db.session.scalar(sa.select(_group.c.id).where(_group.c.name == name)) is None:
        raise UnknownGroup(name)


def _lock(name: str) -> None:
    """Lock a group until the commit, so that no one is added meanwhile. An UPDATE, since that locks in SQLite too."""
    if execute_update(sa.update(_group).where(_group.c.name == name).values(title=_group.c.title)) != 1:
        raise UnknownGroup(name)


def _record_each(event: str, pairs: Sequence[tuple[int, str]], by: str) -> None:
    facts = [(user_id, {"group": name, "by": by}) for user_id, name in pairs]
    record_each(event, [{"user_id": user_id, "challenge_id": None, "facts": each} for user_id, each in facts])
