"""Known devices: browsers in which a user has signed in before; trusted ones skip the second step for a while.

A known browser is no proof and opens nothing. Each account knows it by a secret of its own, in a cookie, that no
account from before has seen (ADR 10). It has guesses of its own when strangers have used up the account's
(``throttling/by_account``), and signing in from one is no news to the owner.

Trust is a date on the row by which an account knows a browser, and goes when that row is revoked. It replaces the
second step alone: the first is taken each time, and the session counts as one of one factor.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from app import clock
from app.client import MAX_KNOWN_ACCOUNTS, ClientContext
from app.crypto import secrets
from app.db.compiled import CompiledStatement, Detached
from app.extensions import changed, db, g, settings
from app.throttling.by_account import UNLIMITED, LoginAttempt, row_id
from app.throttling.models import FailureCounter
from app.users import subject_of
from app.web.cookies import sent_known_secrets

KnownDeviceRow = Literal["new", "known", "none"]
"""Whether a browser was new to an account, or known; ``none`` is a program, which keeps no cookies."""

SEEN_EVERY = timedelta(days=1)
"""``last_seen_at`` moves, and the cookie's year begins again, at most this often."""

LIFE = timedelta(days=365)
"""A browser unused for so long is forgotten, by us and by itself."""

MOST = 100
"""Browsers that are listed at once."""

_ROWS = Detached(FailureCounter)
_table = FailureCounter.__table__
_c = _table.c
_NOT_REVOKED = FailureCounter.revoked_at.is_(None)
_COLUMNS = ("id", "user_id", "browser", "agent", "first_seen_at", "last_seen_at")


def _mine(column: Any) -> Any:
    """Return ``column`` of the account's row for one of the client's secrets; NULL when it knows none of them."""
    known = (_c.first_seen_at.is_not(None), _c.revoked_at.is_(None))
    some = _c.id.in_([sa.bindparam(f"known_{place}") for place in range(MAX_KNOWN_ACCOUNTS)])
    return sa.select(column).where(some, *known).order_by(_c.id).limit(1).scalar_subquery()


def _settling(rows: int, *, here: bool) -> sa.Executable:
    """Return the statement that notes a success in so many rows, each there already or not.

    :param here: whether the last one is the browser's: the row by which the account knows it, or else a new one
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
            "failures": sa.func.replace(_c.failures, sa.bindparam("entry", type_=sa.String()), ""),
            "in_a_row": 0,
            "touched_at": current,
            "agent": noted.excluded.agent,
            "first_seen_at": sa.func.coalesce(_c.first_seen_at, noted.excluded.first_seen_at),
            "last_seen_at": noted.excluded.last_seen_at,
        },
        where=_c.revoked_at.is_(None),
    ).returning(_c.browser)


_SETTLE = {(rows, here): CompiledStatement(_settling(rows, here=here)) for rows in (1, 2, 3) for here in (True, False)}


def note_sign_in(
    user_id: int, client: ClientContext, seen_at: datetime | None = None, guess: LoginAttempt | None = None
) -> KnownDeviceRow:
    """Note that this user has signed in, and that the client's browser is theirs; return whether it was new to them.

    One statement: the right guess is taken back, no failures are in a row any more, and the browser is known. Its
    cookie goes out when the row is stored. A browser that the account does not know, or knows no more, is given a new
    secret beside what it brought: who may have copied that is not known by it.
    :param seen_at: its ``last_seen_at``, where that was looked up already
    :param guess: what was typed, if anything was
    """
    now = clock.now()
    today = seen_at is not None and now < seen_at + SEEN_EVERY
    rows = [_row(user_id, password=password) for password in _counted()]
    fresh = secrets.token()
    if client.keeps_cookies:
        rows.append(_row(user_id, secrets.digest(fresh), client.user_agent, now, seen_at if today else now))
    if not rows:
        return "none"
    here = _settle(rows, user_id, client, guess or UNLIMITED, now)
    if not client.keeps_cookies:
        return "none"
    if here in client.known_secrets:
        if not today:
            keep_known(here, LIFE)
        note_known_here(here)
        return "known"
    note_known_here(set_known_cookie(fresh, LIFE))
    return "new"


def known_as(user_id: int, digests: Collection[str]) -> str:
    """Return by which of these digests the account knows the browser that brought the secrets; "" by none.

    One statement, and none where there are none.
    """
    rows = [_row_id(user_id, digest) for digest in digests]
    mine = (_c.id.in_(rows), _c.first_seen_at.is_not(None), _c.revoked_at.is_(None))
    return (db.session.scalar(sa.select(_c.browser).where(*mine).limit(1)) if rows else None) or ""


def revoke_browsers(user_id: int, *, but: Collection[str] = ()) -> int:
    """Let no browser be known to this account any more, except one with a digest of ``but``; return how many were.

    That one is not trusted any more either: the second step is asked for everywhere.

    Goes with what ends sessions because something about the account's safety has changed. Signing out revokes
    nothing: the browser stays one from which its owner signs in.
    """
    known = (_c.user_id == user_id, _c.first_seen_at.is_not(None), _c.revoked_at.is_(None), _c.browser.not_in(but))
    trusted = (_c.user_id == user_id, _c.trusted_until.is_not(None))
    changed(sa.update(_table).where(*trusted).values(trusted_until=None))
    return changed(sa.update(_table).where(*known).values(revoked_at=clock.now()))


def browsers_of(user_id: int) -> list[FailureCounter]:
    """Return the browsers that this account knows, those used last first; ``MOST`` of them at most. One statement."""
    mine = (_c.user_id == user_id, _c.first_seen_at.is_not(None), _c.revoked_at.is_(None))
    newest = _ROWS.select().where(*mine).order_by(_c.last_seen_at.desc(), _c.id).limit(MOST)
    return [_ROWS.read(row)[0] for row in db.session.execute(newest)]


def forget_browser(user_id: int, row: str) -> int:
    """Let one browser be known to this account no more; return 0 when it was not.

    Its cookie stays where it is, for other accounts may know the browser by it. Who signs in there again comes as from
    a new browser.
    :param row: id of its row; one of another account is none
    """
    known = (_c.id == row, _c.user_id == user_id, _c.first_seen_at.is_not(None), _c.revoked_at.is_(None))
    return changed(sa.update(_table).where(*known).values(revoked_at=clock.now()))


def set_known_cookie(secret: str, life: timedelta, *, instead_of: str = "") -> str:
    """Let this browser keep the secret by which an account knows it, for ``life`` from now; return its digest.

    :param instead_of: digest of the secret that it takes the place of
    """
    digest = secrets.digest(secret)
    others = [each for each in _known_secrets() if secrets.digest(each) not in (digest, instead_of)]
    g.known_cookie = (".".join([secret, *others[: MAX_KNOWN_ACCOUNTS - 1]]), int(life.total_seconds()))
    return digest


def keep_known(digest: str, life: timedelta) -> None:
    """Let this browser keep the secret it brought with this digest for ``life`` from now."""
    for secret in _known_secrets():
        if secrets.digest(secret) == digest:
            set_known_cookie(secret, life)


def known_digests() -> list[str]:
    """Return the digests by which accounts know this browser, as of this answer."""
    return [secrets.digest(secret) for secret in _known_secrets()]


def note_known_here(digest: str) -> None:
    """Note by which digest the account that has just signed in knows this browser."""
    g.known_here = digest


def known_here() -> str:
    """Return by which digest the account that has signed in with this request knows the browser; "" by none."""
    return str(g.get("known_here", ""))


def trust_browser(user_id: int) -> datetime | None:
    """Trust the browser that this request has just made known to the account; return until when.

    The account knows it by another secret from now on: whoever has copied the one so far is not trusted.
    None when trusting is switched off (``LATCHKEY_TRUST_FOR=0``), or it is no browser.
    """
    before = known_here()
    if not settings.trust_for or not before:
        return None
    secret, until = secrets.token(), clock.now() + settings.trust_for
    digest = secrets.digest(secret)
    mine = (FailureCounter.id == _row_id(user_id, before), _NOT_REVOKED)
    renewed = {"id": _row_id(user_id, digest), "browser": digest, "trusted_until": until}
    if not changed(sa.update(FailureCounter).where(*mine).values(**renewed)):
        return None
    note_known_here(set_known_cookie(secret, LIFE, instead_of=before))
    return until


def trust_program(user_id: int, agent: str) -> str:
    """Trust a program that keeps no cookies; return the token that it brings next time. Only its digest is stored."""
    token, now = secrets.token(), clock.now()
    digest = secrets.digest(token)
    row: dict[str, Any] = {"id": _row_id(user_id, digest), "user_id": user_id, "browser": digest, "agent": agent}
    row |= {"first_seen_at": now, "last_seen_at": now, "touched_at": now, "trusted_until": now + settings.trust_for}
    db.session.execute(sa.insert(FailureCounter).values(**row))
    return token


def use_trust(user_id: int, digests: Collection[str]) -> bool:
    """Say whether this account trusts who has one of these digests now; it was used, then. One statement."""
    if not settings.trust_for or not digests:
        return False
    now = clock.now()
    rows = [_row_id(user_id, digest) for digest in digests]
    trusted = (FailureCounter.id.in_(rows), _NOT_REVOKED, FailureCounter.trusted_until > now)
    return changed(sa.update(FailureCounter).where(*trusted).values(last_seen_at=now, touched_at=now)) == 1


def revoke_trust(user_id: int, *, but: Collection[str] = ()) -> int:
    """Skip the second step nowhere any more, except where a digest of ``but`` is; return how many were trusted."""
    trusted = (
        FailureCounter.user_id == user_id,
        FailureCounter.trusted_until.is_not(None),
        FailureCounter.browser.not_in(but),
    )
    return changed(sa.update(FailureCounter).where(*trusted).values(trusted_until=None))


def revoke_one_trust(user_id: int, row: str) -> int:
    """Skip the second step in this browser no more, which stays known; return 0 when it was not trusted.

    :param row: id of its row; one of another account is none
    """
    trusted = (FailureCounter.id == row, FailureCounter.user_id == user_id, FailureCounter.trusted_until.is_not(None))
    return changed(sa.update(FailureCounter).where(*trusted).values(trusted_until=None))


def _counted() -> list[bool]:
    """Return which rows of strangers a success ends the failures in a row of: those of codes, of passwords."""
    return [False, *([True] if "password" in settings.methods else [])] if settings.limits else []


def _row(
    user_id: int, digest: str = "", agent: str = "", first: datetime | None = None, last: datetime | None = None,
    *, password: bool = False,
) -> dict[str, Any]:  # fmt: skip
    names = (_row_id(user_id, digest, password=password), user_id, digest, agent, first, last)
    return dict(zip(_COLUMNS, names, strict=True))


def _settle(rows: list[dict[str, Any]], user_id: int, client: ClientContext, guess: LoginAttempt, now: datetime) -> str:
    """Note a success; return by which digest the browser is known from now on, "" for none."""
    values = {f"{name}_{number}": value for number, row in enumerate(rows) for name, value in row.items()}
    if client.keeps_cookies:
        mine = [_row_id(user_id, digest) for digest in client.known_secrets[:MAX_KNOWN_ACCOUNTS]]
        values |= {f"known_{place}": mine[place] if place < len(mine) else "" for place in range(MAX_KNOWN_ACCOUNTS)}
    noted = _SETTLE[len(rows), client.keeps_cookies].all(**values, entry=guess.entry, now=now)
    return next((str(browser) for (browser,) in noted if browser), "")


def _known_secrets() -> list[str]:
    given: tuple[str, int] | None = g.get("known_cookie")
    return given[0].split(".") if given else sent_known_secrets()


def _row_id(user_id: int, digest: str, *, password: bool = False) -> str:
    return row_id(subject_of(user_id, ""), digest, password=password)
