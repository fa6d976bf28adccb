"""What ends for an app when people may no longer use it: they have left its groups, or it is for others from now on.

Its tokens are refused from that moment in any case, since each statement that accepts one asks for the groups. Here
what they stand for ends for good, ``offline_access`` included, and the app is told by a logout token.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from app import clock
from app.extensions import db
from app.groups.service import is_member_of_any
from app.oidc import client_uris
from app.oidc.clients import Client, clients_in_memory, find_clients
from app.oidc.models import Grant, OAuthClient
from app.oidc.session_ends import OF_GRANT, tell

BATCH = 500

_table = Grant.__table__
_c = _table.c
_is_open = sa.or_(_c.ended_at.is_(None), _c.revoked_at.is_(None))


def end_of_people(user_ids: Sequence[int]) -> None:
    """End what accounts gave to apps that they may no longer use: at each batch one statement where they gave nothing.

    Otherwise there are at most two, and one or two for each app that is for groups.
    """
    for begin in range(0, len(user_ids), BATCH):
        theirs = _c.user_id.in_(user_ids[begin : begin + BATCH])
        given = db.session.scalars(sa.select(_c.client_id).where(theirs, _is_open).distinct()).all()
        for client in find_clients(given).values():
            _end_all(client, theirs)


def end_of_client(client: Client) -> None:
    """End what an app was given by accounts that it is no longer for. No statement where it is for everybody."""
    _end_all(client)


def prune_lost_access() -> int:
    """End a batch of what was given to apps of the clients file, or that nobody has added; return how many grants.

    Whom those are for is read at start, and no handler hears of a change.
    """
    for client in clients_in_memory().values():
        if ended := _end_batch(client.groups, _c.client_id == client.id):
            return ended
    documents = sa.select(OAuthClient.id).where(OAuthClient.source == "document")
    return _end_batch(client_uris.admitted_groups(), _c.client_id.in_(documents))


def _end_all(client: Client, *which: sa.ColumnElement[bool]) -> None:
    while _end_batch(client.groups, _c.client_id == client.id, *which) == BATCH:
        pass


def _end_batch(groups: Sequence[str], *which: sa.ColumnElement[bool]) -> int:
    """End at most ``BATCH`` of these grants whose account is in none of the groups; return how many."""
    if not groups:
        return 0
    lost = sa.select(_c.id).where(*which, _is_open, sa.not_(is_member_of_any(_c.user_id, groups))).limit(BATCH)
    now = clock.now()
    at = sa.literal(now, _c.ended_at.type)
    values = {"ended_at": sa.func.coalesce(_c.ended_at, at), "revoked_at": sa.func.coalesce(_c.revoked_at, at)}
    ending = sa.update(_table).where(_c.id.in_(lost)).values(values).returning(*OF_GRANT, _c.ended_at)
    rows = db.session.execute(ending).all()
    tell([row for row in rows if row.ended_at == now])
    return len(rows)
