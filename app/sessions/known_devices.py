"""Known devices: browsers in which a user has signed in before. Trusted ones skip the second factor for a while.

A known browser isn't a factor. Each account identifies it by a separate secret in a cookie, which is never used for
another account (ADR 10). A known browser has its own attempt limit, so it isn't locked out when others use up the
account's (``throttling/by_account``), and signing in from one sends no notification.

Trust is an expiry date on the row of a known browser, and ends when that row is revoked. It replaces only the second
factor: the first is required each time, and the session counts as single-factor.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa
from flask import g
from sqlalchemy.dialects.postgresql import insert

from app import clock
from app.client import MAX_KNOWN_ACCOUNTS, ClientContext
from app.crypto import secrets
from app.db.compiled import CompiledStatement, Detached
from app.enrollments.methods import methods
from app.extensions import db, execute_update, settings
from app.sessions.models import AuthSession, KnownDevice
from app.throttling.by_account import UNLIMITED, LoginAttempt, counts_without_attempt, row_id
from app.users import subject_of
from app.web.cookies import sent_known_secrets

KnownDeviceRow = Literal["new", "known", "none"]
"""Whether a browser was new to an account or known; ``none`` for an API client without cookies."""

SEEN_EVERY = timedelta(days=1)
"""Minimum interval between updates of ``last_seen_at``, which also renew the cookie for another year."""

LIFETIME = timedelta(days=365)
"""How long an unused browser stays known, both in its cookie and in our database."""

MAX_LISTED = 100
"""Maximum number of browsers listed."""

_ROWS = Detached(KnownDevice)
_table = KnownDevice.__table__
_c = _table.c
_NOT_REVOKED = KnownDevice.revoked_at.is_(None)
_COLUMNS = ("id", "user_id", "browser", "agent", "first_seen_at", "last_seen_at")


def _own_row(column: Any) -> Any:
    """Return a subquery for ``column`` of the account's row that matches one of the client's secrets, else NULL."""
    known = (_c.first_seen_at.is_not(None), _c.revoked_at.is_(None))
    some = _c.id.in_([sa.bindparam(f"known_{place}") for place in range(MAX_KNOWN_ACCOUNTS)])
    return sa.select(column).where(some, *known).order_by(_c.id).limit(1).scalar_subquery()


def _success_statement(rows: int, *, here: bool) -> sa.Executable:
    """Return the upsert that records a successful sign-in in this many rows.

    :param here: whether the last row is for the browser: its known row, or a new one
    """
    current = sa.bindparam("now", type_=_c.touched_at.type)
    now = {"failures": "", "in_a_row": 0, "touched_at": current}
    values: list[dict[str, Any]] = [
        {name: sa.bindparam(f"{name}_{row}", type_=_c[name].type) for name in _COLUMNS} | now for row in range(rows)
    ]
    if here:
        values[-1] |= {name: sa.func.coalesce(_own_row(_c[name]), values[-1][name]) for name in ("id", "browser")}
    noted = insert(_table).values(values)
    return noted.on_conflict_do_update(
        index_elements=[_c.id],
        set_={
            **counts_without_attempt(),
            "in_a_row": 0,
            "touched_at": current,
            "agent": noted.excluded.agent,
            "first_seen_at": sa.func.coalesce(_c.first_seen_at, noted.excluded.first_seen_at),
            "last_seen_at": noted.excluded.last_seen_at,
        },
        where=_c.revoked_at.is_(None),
    ).returning(_c.browser)


_SUCCESS = {
    (rows, here): CompiledStatement(_success_statement(rows, here=here)) for rows in (1, 2, 3) for here in (True, False)
}


def record_sign_in(
    user_id: int, client: ClientContext, seen_at: datetime | None = None, login_attempt: LoginAttempt | None = None
) -> KnownDeviceRow:
    """Record that this user has signed in from the client's browser; return whether it was new to the account.

    One statement refunds the attempt, resets consecutive failures, and makes the browser known. The cookie is set only
    if the row is stored. A browser that is unknown or was revoked gets a new secret in addition to those it sent, so
    that a copy of the old ones doesn't become known.
    :param seen_at: its ``last_seen_at``, if that was looked up already
    :param login_attempt: the attempt that succeeded, if a passcode was typed
    """
    now = clock.now()
    today = seen_at is not None and now < seen_at + SEEN_EVERY
    rows = [_row(user_id, password=password) for password in _counters()]
    fresh = secrets.token()
    if client.keeps_cookies:
        rows.append(_row(user_id, secrets.digest(fresh), client.user_agent, now, seen_at if today else now))
    if not rows:
        return "none"
    here = _record_success(rows, user_id, client, login_attempt or UNLIMITED, now)
    if not client.keeps_cookies:
        return "none"
    if here in client.known_secrets:
        if not today:
            renew_known_cookie(here, LIFETIME)
        set_device_digest(here)
        return "known"
    set_device_digest(set_known_cookie(fresh, LIFETIME))
    return "new"


def find_known_digest(user_id: int, digests: Collection[str]) -> str:
    """Return which of these digests identifies a known browser of the account; "" if none does.

    One statement; none without digests.
    """
    rows = [_row_id(user_id, digest) for digest in digests]
    mine = (_c.id.in_(rows), _c.first_seen_at.is_not(None), _c.revoked_at.is_(None))
    return (db.session.scalar(sa.select(_c.browser).where(*mine).limit(1)) if rows else None) or ""


def revoke_browsers(user_id: int, *, keep: Collection[str] = ()) -> int:
    """Forget the known browsers of this account, except one with a digest in ``keep``; return how many were known.

    Trust ends in all of them, including the excepted one: the second factor is required everywhere.

    Called when sessions are revoked because the account's security has changed. Signing out doesn't forget the browser,
    since its owner is expected to sign in there again.
    """
    known = (_c.user_id == user_id, _c.first_seen_at.is_not(None), _c.revoked_at.is_(None), _c.browser.not_in(keep))
    trusted = (_c.user_id == user_id, _c.trusted_until.is_not(None))
    execute_update(sa.update(_table).where(*trusted).values(trusted_until=None))
    return execute_update(sa.update(_table).where(*known).values(revoked_at=clock.now()))


def browsers_of(user_id: int) -> list[KnownDevice]:
    """Return the known browsers of this account, most recently used first, up to ``MAX_LISTED``. One statement."""
    mine = (_c.user_id == user_id, _c.first_seen_at.is_not(None), _c.revoked_at.is_(None))
    newest = _ROWS.select().where(*mine).order_by(_c.last_seen_at.desc(), _c.id).limit(MAX_LISTED)
    return [_ROWS.read(row)[0] for row in db.session.execute(newest)]


def forget_browser(user_id: int, row: str) -> int:
    """Forget one known browser of this account; return 0 if it wasn't known.

    Its cookie stays, since other accounts may use it too. The next sign-in there counts as one from a new browser.
    :param row: id of its row; has no effect if the row belongs to another account
    """
    known = (_c.id == row, _c.user_id == user_id, _c.first_seen_at.is_not(None), _c.revoked_at.is_(None))
    return execute_update(sa.update(_table).where(*known).values(revoked_at=clock.now()))


def set_known_cookie(secret: str, life: timedelta, *, instead_of: str = "") -> str:
    """Add the secret by which an account knows this browser to its cookie, for ``life``; return the secret's digest.

    :param instead_of: digest of the secret to replace
    """
    digest = secrets.digest(secret)
    others = [each for each in _known_secrets() if secrets.digest(each) not in (digest, instead_of)]
    g.known_cookie = (".".join([secret, *others[: MAX_KNOWN_ACCOUNTS - 1]]), int(life.total_seconds()))
    return digest


def renew_known_cookie(digest: str, life: timedelta) -> None:
    """Renew the cookie for ``life``, moving the secret with this digest to the front."""
    for secret in _known_secrets():
        if secrets.digest(secret) == digest:
            set_known_cookie(secret, life)


def known_digests() -> list[str]:
    """Return the digests by which accounts know this browser, including one that this response sets."""
    return [secrets.digest(secret) for secret in _known_secrets()]


def set_device_digest(digest: str) -> None:
    """Remember the digest by which the account that has just signed in knows this browser."""
    g.device_digest = digest


def device_digest() -> str:
    """Return the digest by which the account that signed in with this request knows the browser; "" for none."""
    return str(g.get("device_digest", ""))


def trust_browser(user_id: int) -> datetime | None:
    """Trust the browser that signed in with this request; return when the trust expires.

    The browser gets a new secret, so that a copy of the old one isn't trusted. Return None if trust is disabled
    (``LATCHKEY_TRUST_FOR=0``) or the client keeps no cookies.
    """
    before = device_digest()
    if not settings.trust_for or not before:
        return None
    secret, until = secrets.token(), clock.now() + settings.trust_for
    digest = secrets.digest(secret)
    mine = (KnownDevice.id == _row_id(user_id, before), _NOT_REVOKED)
    renewed = {"id": _row_id(user_id, digest), "browser": digest, "trusted_until": until}
    if not execute_update(sa.update(KnownDevice).where(*mine).values(**renewed)):
        return None
    here = (AuthSession.user_id == user_id, AuthSession.browser == before)
    execute_update(sa.update(AuthSession).where(*here).values(browser=digest))
    set_device_digest(set_known_cookie(secret, LIFETIME, instead_of=before))
    return until


def trust_api_client(user_id: int, agent: str) -> str:
    """Trust an API client without cookies; return the token it has to send next time. Only its digest is stored."""
    token, now = secrets.token(), clock.now()
    digest = secrets.digest(token)
    row: dict[str, Any] = {"id": _row_id(user_id, digest), "user_id": user_id, "browser": digest, "agent": agent}
    row |= {"first_seen_at": now, "last_seen_at": now, "touched_at": now, "trusted_until": now + settings.trust_for}
    db.session.execute(sa.insert(KnownDevice).values(**row))
    return token


def use_trust(user_id: int, digests: Collection[str]) -> bool:
    """Return whether the account trusts a client with one of these digests, and record its use. One statement."""
    if not settings.trust_for or not digests:
        return False
    now = clock.now()
    rows = [_row_id(user_id, digest) for digest in digests]
    trusted = (KnownDevice.id.in_(rows), _NOT_REVOKED, KnownDevice.trusted_until > now)
    return execute_update(sa.update(KnownDevice).where(*trusted).values(last_seen_at=now, touched_at=now)) == 1


def revoke_trust(user_id: int, *, keep: Collection[str] = ()) -> int:
    """End the trust in every browser, except one with a digest in ``keep``; return how many were trusted."""
    trusted = (
        KnownDevice.user_id == user_id,
        KnownDevice.trusted_until.is_not(None),
        KnownDevice.browser.not_in(keep),
    )
    return execute_update(sa.update(KnownDevice).where(*trusted).values(trusted_until=None))


def revoke_one_trust(user_id: int, row: str) -> int:
    """End the trust in one browser, which stays known; return 0 if it wasn't trusted.

    :param row: id of its row; has no effect if the row belongs to another account
    """
    trusted = (KnownDevice.id == row, KnownDevice.user_id == user_id, KnownDevice.trusted_until.is_not(None))
    return execute_update(sa.update(KnownDevice).where(*trusted).values(trusted_until=None))


def _counters() -> list[bool]:
    """Return which counters of unknown browsers a success resets, as ``password`` flags: for codes, for passwords."""
    has_passwords = any(each.is_user_chosen and each.is_enabled for each in methods().values())
    return [False, *([True] if has_passwords else [])] if settings.limits else []


def _row(
    user_id: int, digest: str = "", agent: str = "", first: datetime | None = None, last: datetime | None = None,
    *, password: bool = False,
) -> dict[str, Any]:  # fmt: skip
    names = (_row_id(user_id, digest, password=password), user_id, digest, agent, first, last)
    return dict(zip(_COLUMNS, names, strict=True))


def _record_success(
    rows: list[dict[str, Any]], user_id: int, client: ClientContext, login_attempt: LoginAttempt, now: datetime
) -> str:
    """Record a successful sign-in; return the digest by which the browser is known from now on, "" for none."""
    values = {f"{name}_{number}": value for number, row in enumerate(rows) for name, value in row.items()}
    if client.keeps_cookies:
        mine = [_row_id(user_id, digest) for digest in client.known_secrets[:MAX_KNOWN_ACCOUNTS]]
        values |= {f"known_{place}": mine[place] if place < len(mine) else "" for place in range(MAX_KNOWN_ACCOUNTS)}
    noted = _SUCCESS[len(rows), client.keeps_cookies].all(**values, **login_attempt.refund_parameters(), now=now)
    return next((str(browser) for (browser,) in noted if browser), "")


def _known_secrets() -> list[str]:
    given: tuple[str, int] | None = g.get("known_cookie")
    return given[0].split(".") if given else sent_known_secrets()


def _row_id(user_id: int, digest: str, *, password: bool = False) -> str:
    return row_id(subject_of(user_id, ""), digest, password=password)
