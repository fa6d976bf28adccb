"""Known devices: browsers in which a user has signed in before.

A known browser is no proof and opens nothing. Each account knows it by a secret of its own, that no account from before
has seen (ADR 10). It has guesses of its own when strangers have used up the account's
(``throttling/by_account``), and signing in from one is no news to the owner.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite speaks this INSERT as well

from app import clock
from app.client import MAX_KNOWN_ACCOUNTS, ClientContext
from app.crypto import secrets
from app.db.compiled import CompiledStatement, Detached
from app.extensions import changed, db, settings
from app.sessions.cookies import keep_known, note_known_here, set_known_cookie
from app.throttling.by_account import UNLIMITED, LoginAttempt, row_id
from app.throttling.models import FailureCounter
from app.users import subject_of

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
    rows = [row_id(subject_of(user_id, ""), digest) for digest in digests]
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


def _counted() -> list[bool]:
    """Return which rows of strangers a success ends the failures in a row of: those of codes, of passwords."""
    return [False, *([True] if "password" in settings.methods else [])] if settings.limits else []


def _row(
    user_id: int, digest: str = "", agent: str = "", first: datetime | None = None, last: datetime | None = None,
    *, password: bool = False,
) -> dict[str, Any]:  # fmt: skip
    names = (row_id(subject_of(user_id, ""), digest, password=password), user_id, digest, agent, first, last)
    return dict(zip(_COLUMNS, names, strict=True))


def _settle(rows: list[dict[str, Any]], user_id: int, client: ClientContext, guess: LoginAttempt, now: datetime) -> str:
    """Note a success; return by which digest the browser is known from now on, "" for none."""
    values = {f"{name}_{number}": value for number, row in enumerate(rows) for name, value in row.items()}
    if client.keeps_cookies:
        mine = [row_id(subject_of(user_id, ""), digest) for digest in client.known_secrets[:MAX_KNOWN_ACCOUNTS]]
        values |= {f"known_{place}": mine[place] if place < len(mine) else "" for place in range(MAX_KNOWN_ACCOUNTS)}
    noted = _SETTLE[len(rows), client.keeps_cookies].all(**values, entry=guess.entry, now=now)
    return next((str(browser) for (browser,) in noted if browser), "")
