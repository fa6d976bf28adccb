"""What a data export contains about groups: their names and titles, never who else is in them."""

from __future__ import annotations

import sqlalchemy as sa

from app.db.export import ExportPart
from app.groups.models import Group, GroupMembership


def _of_group(column: sa.ColumnElement[str]) -> sa.ScalarSelect[str]:
    return sa.select(column).where(Group.id == GroupMembership.group_id).scalar_subquery()


PARTS = (
    ExportPart(
        "groups",
        "The groups that the account is in. They decide which apps it may use.",
        owner=GroupMembership.user_id,
        newest_by=[GroupMembership.created_at, GroupMembership.group_id],
        columns={
            "name": _of_group(Group.__table__.c.name),
            "title": _of_group(Group.__table__.c.title),
            "added_at": GroupMembership.created_at,
        },
    ),
)
