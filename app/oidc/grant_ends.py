"""Ending grants, and the sessions that apps keep themselves: when a session ends, and when a user loses access.

Grants without ``offline_access`` end with the session that issued them, however it ends. Those with it are meant for
when the user is not signed in, so they continue (OpenID Connect Back-Channel Logout 1.0, section 2.7). They are revoked
if someone else may have had access to the account, or if it is closed: "this wasn't me", recovery, an undone change of
addresses, disabling, deletion, and the first verification of an address. API tokens are revoked in the same cases.

When a session ends, each app that it signed in to gets one logout token from the outbox. So does an app whose access
the user removes, an app that the user may no longer use (they left its groups, or its groups changed), and an app that
is disabled or deleted (``client_ends``). Every statement that accepts a token checks the groups too, so tokens are
rejected immediately in any case. This module then ends the grant for good, including ``offline_access``. Grants with
``offline_access`` of a disabled app are suspended until it is enabled.

A logout token may be retried for two hours. If the session has signed in to the app again by then, the token is
dropped: it would end the new sign-in. When that one ends, the app is notified of it, and a token of the earlier end
that still waits is dropped. So one is sent even if a sign-out and the worker that ends grants of an app enqueue two.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app import clock
from app.crypto import secrets
from app.db.compiled import CompiledStatement
from app.extensions import db, settings
from app.groups.service import is_member_of_any
from app.oidc import client_uris, keys
from app.oidc.clients import Client, clients_in_memory, find_clients
from app.oidc.former_clients import find_former_clients
from app.oidc.models import Grant, OAuthClient
from app.oidc.subjects import sid_for, subject_for
from app.outbox import LogoutMessage, Message
from app.outbox.models import SENT, WAITING
from app.outbox.service import LOGOUT, enqueue_all
from app.sessions.end_hooks import EndedSessions
from app.users import User

KIND = "app_logout"
RETRY_PERIOD = timedelta(hours=2)
"""How long delivery is retried. An app that is down for longer has to notice the sign-out on its own."""

_table, _user = Grant.__table__, User.__table__
_c = _table.c
_handle = sa.select(_user.c.handle).where(_user.c.id == _c.user_id).scalar_subquery()
_is_open = sa.or_(_c.ended_at.is_(None), _c.revoked_at.is_(None))

GRANT_COLUMNS = (
    _c.client_id, _c.session_id, _c.user_id, _handle.label("handle"), _c.code_used_at, _c.revoked_at
)  # fmt: skip
"""Columns of a grant that ``enqueue_logout_tokens`` needs, and when it was revoked."""

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
LOGOUT_TOKEN_LIFETIME = timedelta(minutes=2)

BATCH = 500
"""Number of grants that one statement ends, plus the others of the same sessions, so that each is notified once."""


def _ending_statement(*which: sa.ColumnElement[bool]) -> CompiledStatement:
    """Return a statement that ends grants that haven't ended yet, and returns their ``GRANT_COLUMNS``."""
    revoked_at = sa.case((_c.offline, _c.revoked_at), else_=sa.func.coalesce(_c.revoked_at, sa.bindparam("now")))
    return CompiledStatement(
        sa.update(_table)
        .where(*which, _c.ended_at.is_(None))
        .values(ended_at=sa.bindparam("now"), revoked_at=revoked_at)
        .returning(*GRANT_COLUMNS)
    )


_END_OF_SESSION = _ending_statement(_c.session_id == sa.bindparam("session"))
_END_OF_USER = _ending_statement(_c.user_id == sa.bindparam("user"), _c.session_id != sa.bindparam("except_id"))
_END_OF_APP = CompiledStatement(
    sa.update(_table)
    .where(_c.user_id == sa.bindparam("user"), _c.client_id == sa.bindparam("client"), _c.ended_at.is_(None))
    .values(ended_at=sa.bindparam("now"), revoked_at=sa.func.coalesce(_c.revoked_at, sa.bindparam("now")))
    .returning(*GRANT_COLUMNS)
)
_of_client = (_c.client_id == sa.bindparam("client"), _c.created_at <= sa.bindparam("until"))
_sessions = sa.select(_c.session_id).where(*_of_client, _c.ended_at.is_(None)).limit(BATCH)
_END_OF_CLIENT = _ending_statement(*_of_client, _c.session_id.in_(_sessions))
_REVOKE_OFFLINE = CompiledStatement(
    sa.update(_table)
    .where(_c.user_id == sa.bindparam("user"), _c.offline, _c.revoked_at.is_(None))
    .values(revoked_at=sa.bindparam("now"))
)


def end_grants(which: EndedSessions) -> None:
    """End the grants of these sessions and notify the apps. One statement if there are none."""
    now = clock.now()
    if which.session_id:
        rows = _END_OF_SESSION.all(session=which.session_id, now=now)
    else:
        rows = _END_OF_USER.all(user=which.user_id, except_id=which.except_id, now=now)
    enqueue_logout_tokens(rows)


def end_grants_of_app(user_id: int, client_id: str) -> int:
    """End the grants that an account's sessions issued to one app, and notify it; return how many were valid.

    Grants of sessions that have already ended continue.
    """
    now = clock.now()
    rows = _END_OF_APP.all(user=user_id, client=client_id, now=now)
    enqueue_logout_tokens(rows)
    return sum(row[5] == now for row in rows)


def end_batch_of_client(client_id: str, client: Client | None, until: datetime) -> int:
    """End a batch of grants of an app that can't be used now, and notify it; return how many.

    Fewer than ``BATCH`` means that none are left. Grants with ``offline_access`` continue when the app can be used
    again, as after a sign-out.

    :param client: the app's registration; None if it can't be read, and then it is not notified
    :param until: grants created later are not ended
    """
    rows = _END_OF_CLIENT.all(client=client_id, until=until, now=clock.now())
    enqueue_logout_tokens(rows, {client_id: client} if client is not None else {})
    return len(rows)


def end_batch_of_lost_grants(client: Client, until: datetime) -> int:
    """End a batch of an app's grants for accounts that it doesn't admit; return how many.

    Fewer than ``BATCH`` means that none are left.

    :param client: no grant ends if it is for everyone
    :param until: grants created later are not ended
    """
    return _end_batch(client.groups, _c.client_id == client.id, _c.created_at <= until)


def revoke_offline_grants(user_id: int) -> None:
    """Revoke an account's grants with ``offline_access``. One statement."""
    _REVOKE_OFFLINE.run(user=user_id, now=clock.now())


def end_lost_grants_of_users(user_ids: Sequence[int]) -> None:
    """End accounts' grants for apps that they may no longer use.

    One statement for each batch of accounts without grants. Otherwise at most three for each batch, and one or two for
    each app that is restricted to groups.
    """
    for begin in range(0, len(user_ids), BATCH):
        is_of_users = _c.user_id.in_(user_ids[begin : begin + BATCH])
        client_ids = db.session.scalars(sa.select(_c.client_id).where(is_of_users, _is_open).distinct()).all()
        for client in _clients_of(client_ids).values():
            _end_all(client, is_of_users)


def prune_lost_access() -> int:
    """End a batch of grants of accounts that may no longer use the app; return how many.

    Covers apps of the clients file and apps with a metadata document. Their groups are read at startup, so nothing else
    notices a change.
    """
    for client in clients_in_memory().values():
        if ended := _end_batch(client.groups, _c.client_id == client.id):
            return ended
    documents = sa.select(OAuthClient.id).where(OAuthClient.source == "document")
    return _end_batch(client_uris.admitted_groups(), _c.client_id.in_(documents))


def _end_all(client: Client, *which: sa.ColumnElement[bool]) -> None:
    while _end_batch(client.groups, _c.client_id == client.id, *which) >= BATCH:
        pass


def _end_batch(groups: Sequence[str], *which: sa.ColumnElement[bool]) -> int:
    """End a batch of these grants whose account is in none of the groups; return how many, at the last < ``BATCH``."""
    if not groups:
        return 0
    lost = (*which, _is_open, sa.not_(is_member_of_any(_c.user_id, groups)))
    sessions = sa.select(_c.session_id).where(*lost).limit(BATCH)
    now = clock.now()
    at = sa.literal(now, _c.ended_at.type)
    values = {"ended_at": sa.func.coalesce(_c.ended_at, at), "revoked_at": sa.func.coalesce(_c.revoked_at, at)}
    ending = (
        sa.update(_table)
        .where(*lost, _c.session_id.in_(sessions))
        .values(values)
        .returning(*GRANT_COLUMNS, _c.ended_at)
    )
    rows = db.session.execute(ending).all()
    enqueue_logout_tokens([row for row in rows if row.ended_at == now])
    return len(rows)


def enqueue_logout_tokens(ended: Sequence[Sequence[Any]], clients: Mapping[str, Client] | None = None) -> None:
    """Queue a logout token for each app and session, with the ids the app knows: the rows may be gone when it is sent.

    At most one INSERT, and a statement to look clients up, or two if one of them can't be used now.

    :param ended: rows of grants; nobody was signed in by one whose code was never exchanged
    :param clients: by id, those that are not to be found any more; None where all are to be looked up
    """
    signed_in = sorted({tuple(row[:4]) for row in ended if row[4] is not None})
    if not signed_in:
        return
    clients = _clients_of({row[0] for row in signed_in}) if clients is None else clients
    messages: list[tuple[int | None, str, dict[str, Any]]] = []
    for client_id, session_id, user_id, handle in signed_in:
        client = clients.get(client_id)
        if client is not None and client.backchannel_logout_uri:
            names = {"sub": subject_for(handle, client), "sid": sid_for(session_id, client_id)}
            messages.append((user_id, client_id, names | {"client": client_id} | logout_target(client)))
    enqueue_all(KIND, LOGOUT, messages, expires_at=clock.now() + RETRY_PERIOD)


def _clients_of(client_ids: Collection[str]) -> dict[str, Client]:
    """Return these clients by id, with those that can't be used now. One statement, or two if there are any."""
    found = find_clients(client_ids)
    gone = set(client_ids) - found.keys()
    return found | (find_former_clients(gone) if gone else {})


def logout_target(client: Client) -> dict[str, Any]:
    """Return what is needed to notify an app, for a message that may be sent after it is no longer registered.

    The URL of an app that registered itself is untrusted, so it may not lead into a private network.
    """
    return {"uri": client.backchannel_logout_uri, "alg": client.id_token_alg, "public_only": not client.is_vetted}


def logout_token(client_id: str, alg: str, sub: str, sid: str) -> str:
    """Return a new logout token. Its type, its event and the missing nonce tell it apart from an ID token."""
    now = int(clock.unix())
    claims = {
        "iss": settings.public_url,
        "aud": client_id,
        "iat": now,
        "exp": now + int(LOGOUT_TOKEN_LIFETIME.total_seconds()),
        "jti": secrets.row_id(),
        "events": {LOGOUT_EVENT: {}},
        "sub": sub,
        "sid": sid,
    }
    return keys.sign(claims, alg, typ="logout+jwt")


@dataclass(frozen=True, slots=True)
class Recipient:
    """The app that a logout token is for.

    :ivar client: None if it was disabled or deleted in the meantime
    :ivar is_signed_in: whether the session has signed in to it again
    :ivar is_superseded: whether the session has ended for it again, and it is notified of that
    """

    client: Client | None
    is_signed_in: bool
    is_superseded: bool


def read(messages: Sequence[Message]) -> dict[str, Recipient]:
    """Return the recipient of each message, by message id. Three statements."""
    of = {message.id: str(message.facts["client"]) for message in messages}
    clients = find_clients(set(of.values()))
    user_ids = {each.user_id for each in messages if each.user_id}
    last = _last_messages(messages, user_ids)
    is_candidate = (_c.user_id.in_(user_ids), _c.client_id.in_(set(of.values())))
    open_grants = sa.select(_c.client_id, _c.session_id).where(
        *is_candidate, _c.ended_at.is_(None), _c.code_used_at.is_not(None)
    )
    open_now = {(row.client_id, sid_for(row.session_id, row.client_id)) for row in db.session.execute(open_grants)}
    return {
        message.id: Recipient(
            clients.get(of[message.id]),
            is_signed_in=_session_of(message.facts) in open_now,
            is_superseded=last[_session_of(message.facts)] != message.id,
        )
        for message in messages
    }


def _last_messages(messages: Sequence[Message], user_ids: Collection[int]) -> dict[tuple[str, str], str]:
    """Return the id of the last message of each app and session, among these and those waiting or sent. One statement.

    A waiting message is read later than these, so no end of a session is left out. One that another worker is sending
    may have been read too early to count.
    """
    m = Message.__table__.c
    others = sa.select(m.created_at, m.id, m.facts).where(
        m.user_id.in_(user_ids),
        m.kind == KIND,
        m.state.in_((WAITING, SENT)),
        m.created_at >= min(each.created_at for each in messages),
    )
    found = [*db.session.execute(others), *((each.created_at, each.id, each.facts) for each in messages)]
    return {_session_of(facts): message_id for _, message_id, facts in sorted(found, key=lambda row: tuple(row[:2]))}


def _session_of(facts: Mapping[str, Any]) -> tuple[str, str]:
    """Return the app and the session that a message is about."""
    return str(facts["client"]), str(facts["sid"])


def render(message: Message, to: Recipient) -> LogoutMessage | None:
    """Return an app's logout message, signed now; None if it no longer wants to be notified, or no longer should be.

    An app that was disabled or deleted in the meantime is notified at the URL it had when the session ended.
    """
    if to.is_signed_in or to.is_superseded:
        return None
    facts = message.facts
    where = facts if to.client is None else logout_target(to.client)
    if not where.get("uri"):
        return None
    token = logout_token(facts["client"], where["alg"], facts["sub"], facts["sid"])
    return LogoutMessage(where["uri"], token, public_only=where["public_only"])


RENDERERS = {KIND: render}
