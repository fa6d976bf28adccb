"""Sessions at protected apps, looked up with one statement per request, and the tickets that lead there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app import clock
from app.crypto import secrets
from app.db.compiled import CompiledStatement, Detached
from app.db.retention import delete_batch
from app.extensions import db, settings
from app.forward_auth.models import AppSession, EntryTicket
from app.forward_auth.rules import ProtectedApp
from app.groups.service import group_names, names_in
from app.sessions.models import ApiToken, AuthSession
from app.sessions.store import record_token_use, record_use
from app.users import Identity, User

TICKET_LIFETIME = timedelta(seconds=30)

_app_session, _ticket = AppSession.__table__, EntryTicket.__table__
_session, _user, _token = AuthSession.__table__, User.__table__, ApiToken.__table__
_email, _username = Identity.__table__.alias("email"), Identity.__table__.alias("username")
_INSERT = CompiledStatement.into(_app_session)
_INSERT_TICKET = CompiledStatement.into(_ticket)
_SESSIONS, _TOKENS = Detached(AuthSession, User), Detached(ApiToken, User)
_NAMES = (_email.c.value, _email.c.confirmed_at, _username.c.value, group_names(_user.c.id))


def _join_names(joined: Any) -> Any:
    for kind, each in (("email", _email), ("username", _username)):
        its_own = sa.and_(each.c.user_id == _user.c.id, each.c.kind == kind, each.c.is_primary)
        joined = joined.outerjoin(each, its_own)
    return joined


_FIND = CompiledStatement(
    _SESSIONS.select()
    .add_columns(*_NAMES)
    .select_from(
        _join_names(
            _app_session.join(_session, _session.c.session_id == _app_session.c.session_id).join(
                _user, _user.c.id == _session.c.user_id
            )
        )
    )
    .where(_app_session.c.digest == sa.bindparam("digest"), _app_session.c.host == sa.bindparam("host"))
    .where(_session.c.kind == "browser")
)
_FIND_TOKEN = CompiledStatement(
    _TOKENS.select()
    .add_columns(*_NAMES)
    .select_from(_join_names(_token.join(_user, _user.c.id == _token.c.user_id)))
    .where(_token.c.digest == sa.bindparam("digest"))
)
_SPEND_TICKET = CompiledStatement(
    sa.delete(_ticket)
    .where(_ticket.c.digest == sa.bindparam("digest"), _ticket.c.host == sa.bindparam("host"))
    .where(_ticket.c.binding == sa.bindparam("binding"), _ticket.c.expires_at > sa.bindparam("now"))
    .returning(_ticket.c.session_id)
)
_FIND_SESSION = CompiledStatement(
    _SESSIONS.select()
    .select_from(_session.join(_user, _user.c.id == _session.c.user_id))
    .where(_session.c.session_id == sa.bindparam("session"), _session.c.kind == "browser")
)
_END = CompiledStatement(
    sa.delete(_app_session).where(_app_session.c.digest == sa.bindparam("digest")).returning(_app_session.c.user_id)
)
_HAS_ENTERED = CompiledStatement(
    sa.select(_app_session.c.digest)
    .where(_app_session.c.user_id == sa.bindparam("user"), _app_session.c.app == sa.bindparam("app"))
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class Visitor:
    """The user, or their program, that makes a request to an app.

    :ivar session: the user's session; None for a program with an API token
    :ivar token: the program's API token
    """

    user: User
    session: AuthSession | None
    token: ApiToken | None
    email: str
    username: str
    groups: tuple[str, ...]

    def identifier(self, user_is: str) -> str:
        """Return the identifier that an app wants for the user: ``username``, ``email`` or ``handle``."""
        if user_is == "handle":
            return self.user.handle
        return (self.username if user_is == "username" else "") or self.email or self.user.handle

    @property
    def display_name(self) -> str:
        """Name to show to people."""
        return self.user.name or self.username or self.email.partition("@")[0]


def find(token: str, host: str) -> Visitor | None:
    """Return who is signed in to an app with this cookie, or None. One statement."""
    found = _FIND.first_without_session(digest=secrets.digest(token), host=host)
    if found is None:
        return None
    session, user = _SESSIONS.read(found)
    now = clock.now()
    if not session.is_alive(now) or not user.is_active:
        return None
    record_use(session, now)
    return _visitor(user, session, None, found)


def find_by_api_token(token: str, address: str) -> Visitor | None:
    """Return whose program sent this API token; None if it isn't valid. One statement.

    :param address: where the request comes from, for the list of tokens
    """
    if not settings.personal_tokens or not secrets.has_prefix(token, secrets.API_PREFIX):
        return None
    found = _FIND_TOKEN.first_without_session(digest=secrets.digest(token))
    if found is None:
        return None
    row, user = _TOKENS.read(found)
    if not row.is_alive(clock.now()) or not user.is_active:
        return None
    record_token_use(row, address)
    return _visitor(user, None, row, found)


def _visitor(user: User, session: AuthSession | None, token: ApiToken | None, found: Sequence[Any]) -> Visitor:
    email, confirmed_at, username, groups = found[-len(_NAMES) :]
    confirmed = email if confirmed_at is not None else ""
    return Visitor(user, session, token, confirmed or "", username or "", tuple(names_in(groups or "")))


def issue_ticket(session: AuthSession, host: str, binding: str) -> str:
    """Return a ticket that takes the user of ``session`` to an app. Only its digest is stored. One INSERT.

    :param binding: digest of the secret that the browser keeps at the app
    """
    ticket = secrets.token()
    _INSERT_TICKET.run(
        digest=secrets.digest(ticket), binding=binding, session_id=session.session_id, user_id=session.user_id,
        host=host, expires_at=clock.now() + TICKET_LIFETIME,
    )  # fmt: skip
    return ticket


def spend_ticket(ticket: str, host: str, binding: str) -> AuthSession | None:
    """Spend a ticket, once; return its session, or None if it isn't valid here.

    It is deleted by a conditional statement, so one of several concurrent requests succeeds, on any number of servers.
    """
    now = clock.now()
    spent = _SPEND_TICKET.first(digest=secrets.digest(ticket), host=host, binding=binding, now=now)
    found = _FIND_SESSION.first(session=spent[0]) if spent is not None else None
    if found is None:
        return None
    session, user = _SESSIONS.read(found)
    is_valid = session.revoked_at is None and session.is_alive(now) and user.is_active
    return session if is_valid else None


def has_entered(user_id: int, app: ProtectedApp) -> bool:
    """Return whether a user has signed in to an app before, as far as there is a record."""
    return _HAS_ENTERED.first(user=user_id, app=app.id) is not None


def create(session: AuthSession, app: ProtectedApp, host: str) -> tuple[str, datetime]:
    """Sign the user of ``session`` in to an app; return the token for the cookie, and when it expires.

    Only the token's digest is stored.
    """
    token, now = secrets.token(), clock.now()
    _INSERT.run(
        digest=secrets.digest(token), session_id=session.session_id, user_id=session.user_id, host=host, app=app.id,
        created_at=now, expires_at=session.expires_at,
    )  # fmt: skip
    return token, session.expires_at


def end(token: str) -> int | None:
    """Sign out of one app; return the user id of that session, or None."""
    ended = _END.first(digest=secrets.digest(token))
    return ended[0] if ended is not None else None


def prune_app_sessions() -> int:
    """Delete a batch of expired sessions at apps; return how many."""
    return delete_batch(db.session, AppSession, AppSession.expires_at < clock.now())


def prune_entry_tickets() -> int:
    """Delete a batch of expired tickets that were never used; return how many."""
    return delete_batch(db.session, EntryTicket, EntryTicket.expires_at < clock.now())
