"""Known devices: browsers in which a user has signed in before; trusted ones skip the second step for a while.

A known browser isn't a factor. Each account knows it by a secret of its own, in a cookie, that no other account has
seen (ADR 10). It has attempts of its own when others have used up the account's (``throttling/by_account``), and a
sign-in from one causes no notification.

Trust is a date on the row by which an account knows a browser, and goes when that row is revoked. It replaces the
second step alone: the first is taken each time, and the session counts as one of one factor.
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
from app.enrollments.catalog import methods
from app.extensions import changed, db, settings
from app.sessions.models import AuthSession, KnownDevice
from app.throttling.by_account import UNLIMITED, LoginAttempt, counts_without_attempt, row_id
from app.users import subject_of
from app.web.cookies import sent_known_secrets

KnownDeviceRow = Literal["new", "known", "none"]
"""Whether a browser was new to an account, or known; ``none`` is an API client without cookies."""

SEEN_EVERY = timedelta(days=1)
"""``last_seen_at`` moves, and the cookie's year begins again, at most this often."""

LIFETIME = timedelta(days=365)
"""How long an unused browser stays known, in its cookie and in our row."""

MAX_LISTED = 100
"""Browsers that are listed at once."""

_ROWS = Detached(KnownDevice)
_table = KnownDevice.__table__
_c = _table.c
_NOT_REVOKED = KnownDevice.revoked_at.is_(None)
_COLUMNS = ("id", "user_id", "browser", "agent", "first_seen_at", "last_seen_at")


def _mine(column: Any) -> Any:
    """Return ``column`` of the account's row for one of the client's secrets; NULL when none is known."""
    known = (_c.first_seen_at.is_not(None), _c.revoked_at.is_(None))
    some = _c.id.in_([sa.bindparam(f"known_{place}") for place in range(MAX_KNOWN_ACCOUNTS)])
    return sa.select(column).where(some, *known).order_by(_c.id).limit(1).scalar_subquery()


def _success_statement(rows: int, *, here: bool) -> sa.Executable:
    """Return the statement that records a success in ``rows`` rows, each new or not.

    :param here: whether the last one is the browser's: the row by which the account knows it, or a new one
    """
    current = sa.bindparam("now", type_=_c.touched_at.type)
    now = {"failures": "", "in_a_row": 0, "touched_at": current}
    values: list[dict[str, Any]] = [
        {name: sa.bindparam(f"{name}_{row}", type_=_c[name].type) for name in _COLUMNS} | now for row in range(rows)
    ]
    if here:
        values[-1] |= {name: sa.func.coalesce(_mine(_c[name]), values[-1][name]) for name in ("id", "browser")}
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


def note_sign_in(
    user_id: int, client: ClientContext, seen_at: datetime | None = None, login_attempt: LoginAttempt | None = None
) -> KnownDeviceRow:
    """Record that this user has signed in from the client's browser; return whether it was new to the account.

    One statement: the attempt is refunded, failures in a row are reset, and the browser is known. Its cookie is set
    when the row is stored. A browser that isn't known, or was revoked, gets a new secret beside those it sent, so that
    a copy of those isn't known.
    :param seen_at: its ``last_seen_at``, if that was looked up already
    :param login_attempt: the attempt that was right, if anything was typed
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
            keep_known(here, LIFETIME)
        note_known_here(here)
        return "known"
    note_known_here(set_known_cookie(fresh, LIFETIME))
    return "new"


def known_as(user_id: int, digests: Collection[str]) -> str:
    """Return the digest by which the account knows the browser that sent these secrets; "" for none.

    One statement, and none where there are none.
    """
    rows = [_row_id(user_id, digest) for digest in digests]
    mine = (_c.id.in_(rows), _c.first_seen_at.is_not(None), _c.revoked_at.is_(None))
    return (db.session.scalar(sa.select(_c.browser).where(*mine).limit(1)) if rows else None) or ""


def revoke_browsers(user_id: int, *, but: Collection[str] = ()) -> int:
    """Forget the known browsers of this account, except one with a digest of ``but``; return how many there were.

    No browser stays trusted, that one included: the second step is required everywhere.

    Called when sessions are revoked because the account's security has changed. Signing out forgets nothing: its owner
    signs in there again.
    """
    known = (_c.user_id == user_id, _c.first_seen_at.is_not(None), _c.revoked_at.is_(None), _c.browser.not_in(but))
    trusted = (_c.user_id == user_id, _c.trusted_until.is_not(None))
    changed(sa.update(_table).where(*trusted).values(trusted_until=None))
    return changed(sa.update(_table).where(*known).values(revoked_at=clock.now()))


def browsers_of(user_id: int) -> list[KnownDevice]:
    """Return the known browsers of this account, used last first, ``MAX_LISTED`` at most. One statement."""
    mine = (_c.user_id == user_id, _c.first_seen_at.is_not(None), _c.revoked_at.is_(None))
    newest = _ROWS.select().where(*mine).order_by(_c.last_seen_at.desc(), _c.id).limit(MAX_LISTED)
    return [_ROWS.read(row)[0] for row in db.session.execute(newest)]


def forget_browser(user_id: int, row: str) -> int:
    """Forget one known browser of this account; return 0 when it wasn't known.

    Its cookie stays, since other accounts may know the browser by it. The next sign-in there is from a new browser.
    :param row: id of its row; that of another account matches nothing
    """
    known = (_c.id == row, _c.user_id == user_id, _c.first_seen_at.is_not(None), _c.revoked_at.is_(None))
    return changed(sa.update(_table).where(*known).values(revoked_at=clock.now()))


def set_known_cookie(secret: str, life: timedelta, *, instead_of: str = "") -> str:
    """Set the cookie with the secret by which an account knows this browser, for ``life``; return its digest.

    :param instead_of: digest of the secret that it replaces
    """
    digest = secrets.digest(secret)
    others = [each for each in _known_secrets() if secrets.digest(each) not in (digest, instead_of)]
    g.known_cookie = (".".join([secret, *others[: MAX_KNOWN_ACCOUNTS - 1]]), int(life.total_seconds()))
    return digest


def keep_known(digest: str, life: timedelta) -> None:
    """Renew the cookie of the secret with this digest for ``life``."""
    for secret in _known_secrets():
        if secrets.digest(secret) == digest:
            set_known_cookie(secret, life)


def known_digests() -> list[str]:
    """Return the digests by which accounts know this browser, including what this response sets."""
    return [secrets.digest(secret) for secret in _known_secrets()]


def note_known_here(digest: str) -> None:
    """Remember the digest by which the account that has just signed in knows this browser."""
    g.known_here = digest


def known_here() -> str:
    """Return the digest by which the account that signed in with this request knows the browser; "" for none."""
    return str(g.get("known_here", ""))


def trust_browser(user_id: int) -> datetime | None:
    """Trust the browser that signed in with this request; return until when.

    It gets a new secret, so that a copy of the old one isn't trusted. None when trust is off (``LATCHKEY_TRUST_FOR=0``)
    or the client keeps no cookies.
    """
    before = known_here()
    if not settings.trust_for or not before:
        return None
    secret, until = secrets.token(), clock.now() + settings.trust_for
    digest = secrets.digest(secret)
    mine = (KnownDevice.id == _row_id(user_id, before), _NOT_REVOKED)
    renewed = {"id": _row_id(user_id, digest), "browser": digest, "trusted_until": until}
    if not changed(sa.update(KnownDevice).where(*mine).values(**renewed)):
        return None
    here = (AuthSession.user_id == user_id, AuthSession.browser == before)
    changed(sa.update(AuthSession).where(*here).values(browser=digest))
    note_known_here(set_known_cookie(secret, LIFETIME, instead_of=before))
    return until


def trust_program(user_id: int, agent: str) -> str:
    """Trust an API client without cookies; return the token it sends next time. Only its digest is stored."""
    token, now = secrets.token(), clock.now()
    digest = secrets.digest(token)
    row: dict[str, Any] = {"id": _row_id(user_id, digest), "user_id": user_id, "browser": digest, "agent": agent}
    row |= {"first_seen_at": now, "last_seen_at": now, "touched_at": now, "trusted_until": now + settings.trust_for}
    db.session.execute(sa.insert(KnownDevice).values(**row))
    return token


def use_trust(user_id: int, digests: Collection[str]) -> bool:
    """Whether the account trusts a client with one of these digests; its use is recorded. One statement."""
    if not settings.trust_for or not digests:
        return False
    now = clock.now()
    rows = [_row_id(user_id, digest) for digest in digests]
    trusted = (KnownDevice.id.in_(rows), _NOT_REVOKED, KnownDevice.trusted_until > now)
    return changed(sa.update(KnownDevice).where(*trusted).values(last_seen_at=now, touched_at=now)) == 1


def revoke_trust(user_id: int, *, but: Collection[str] = ()) -> int:
    """End the trust in every browser, except one with a digest of ``but``; return how many were trusted."""
    trusted = (
        KnownDevice.user_id == user_id,
        KnownDevice.trusted_until.is_not(None),
        KnownDevice.browser.not_in(but),
    )
    return changed(sa.update(KnownDevice).where(*trusted).values(trusted_until=None))


def revoke_one_trust(user_id: int, row: str) -> int:
    """End the trust in one browser, which stays known; return 0 when it wasn't trusted.

    :param row: id of its row; that of another account matches nothing
    """
    trusted = (KnownDevice.id == row, KnownDevice.user_id == user_id, KnownDevice.trusted_until.is_not(None))
    return changed(sa.update(KnownDevice).where(*trusted).values(trusted_until=None))


def _counters() -> list[bool]:
    """Return which counters of unknown browsers a success resets: that of codes, and that of passwords."""
    has_passwords = any(each.is_chosen and each.is_enabled for each in methods().values())
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
    """Record a success; return the digest by which the browser is known from now on, "" for none."""
    values = {f"{name}_{number}": value for number, row in enumerate(rows) for name, value in row.items()}
    if client.keeps_cookies:
        mine = [_row_id(user_id, digest) for digest in client.known_secrets[:MAX_KNOWN_ACCOUNTS]]
        values |= {f"known_{place}": mine[place] if place < len(mine) else "" for place in range(MAX_KNOWN_ACCOUNTS)}
    noted = _SUCCESS[len(rows), client.keeps_cookies].all(**values, **login_attempt.of_refund(), now=now)
    return next((str(browser) for (browser,) in noted if browser), "")


def _known_secrets() -> list[str]:
    given: tuple[str, int] | None = g.get("known_cookie")
    return given[0].split(".") if given else sent_known_secrets()


def _row_id(user_id: int, digest: str, *, password: bool = False) -> str:
    return row_id(subject_of(user_id, ""), digest, password=password)
