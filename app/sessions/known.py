"""Known browsers: from where somebody has signed in before.

A known browser is no proof and opens nothing. It has guesses of its own when strangers have used up the account's
(``guesses``), and signing in from one is no news to the owner.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite speaks this INSERT as well

from app.database.hot import Hot
from app.database.plain import Plain
from app.extensions import changed, db, settings
from app.kit import clock
from app.kit.asking import Asker
from app.sessions.guesses import FREE, Guess, row_id
from app.sessions.models import Standing
from app.sessions.opening import hand_out_known
from app.users import subject_of

Acquaintance = Literal["new", "known", "none"]
"""Whether a browser was new to an account, or known; ``none`` is a program, which keeps no cookies."""

SEEN_EVERY = timedelta(days=1)
"""``last_seen_at`` moves, and the cookie's year begins again, at most this often."""

LIFE = timedelta(days=365)
"""A browser unused for so long is forgotten, by us and by itself."""

MOST = 100
"""Browsers that are listed at once."""

_ROWS = Plain(Standing)
_table = Standing.__table__
_c = _table.c
_COLUMNS = ("id", "user_id", "browser", "agent", "first_seen_at", "last_seen_at")


def _settling(rows: int) -> sa.Executable:
    """Return the statement that notes a success in so many rows, each there already or not."""
    current = sa.bindparam("now", type_=_c.touched_at.type)
    now = {"failures": "", "in_a_row": 0, "touched_at": current}
    values = [
        {name: sa.bindparam(f"{name}_{row}", type_=_c[name].type) for name in _COLUMNS} | now for row in range(rows)
    ]
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
    ).returning(_c.browser, _c.first_seen_at)


_SETTLE = {rows: Hot(_settling(rows)) for rows in (1, 2, 3)}


def note_sign_in(
    user_id: int, asker: Asker, seen_at: datetime | None = None, guess: Guess | None = None
) -> Acquaintance:
    """Note that this user has signed in, and that the asker's browser is theirs; return whether it was new to them.

    One statement: the right guess is taken back, no failures are in a row any more, and the browser is known. Its
    cookie goes out when the row is stored. A browser that was revoked comes as a new one, with another secret: who
    may have copied the old one is known by it no more.
    :param seen_at: its ``last_seen_at``, where that was looked up already
    :param guess: what was typed, if anything was
    """
    now = clock.now()
    today = seen_at is not None and now < seen_at + SEEN_EVERY
    rows = [_row(user_id, password=password) for password in _counted()]
    if asker.keeps_cookies:
        digest = asker.known if today else hand_out_known(LIFE)
        rows.append(_row(user_id, digest, asker.agent, now, seen_at if today else now))
    if not rows:
        return "none"
    first_seen_at = _settle(rows, guess or FREE, now)
    if not asker.keeps_cookies:
        return "none"
    if first_seen_at is None:
        rows = [_row(user_id, hand_out_known(LIFE, renew=True), asker.agent, now, now)]
        first_seen_at = _settle(rows, FREE, now)
    return "new" if first_seen_at == now else "known"


def is_known(user_id: int, digest: str) -> bool:
    """Say whether this account knows the browser that brought the secret with this digest. One statement."""
    mine = (_c.id == row_id(subject_of(user_id, ""), digest), _c.first_seen_at.is_not(None), _c.revoked_at.is_(None))
    return bool(digest) and db.session.scalar(sa.select(sa.literal(1)).where(*mine)) is not None


def revoke_browsers(user_id: int, *, but: str = "") -> int:
    """Let no browser be known to this account any more, except the one with the digest ``but``; return how many were.

    That one is not trusted any more either: the second step is asked for everywhere.

    Goes with what ends sessions because something about the account's safety has changed. Signing out revokes
    nothing: the browser stays one from which its owner signs in.
    """
    known = (_c.user_id == user_id, _c.first_seen_at.is_not(None), _c.revoked_at.is_(None), _c.browser != but)
    trusted = (_c.user_id == user_id, _c.trusted_until.is_not(None))
    changed(sa.update(_table).where(*trusted).values(trusted_until=None))
    return changed(sa.update(_table).where(*known).values(revoked_at=clock.now()))


def browsers_of(user_id: int) -> list[Standing]:
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


def _settle(rows: list[dict[str, Any]], guess: Guess, now: datetime) -> datetime | None:
    """Note a success; return when the browser was first seen, None if it was revoked or is none."""
    values = {f"{name}_{number}": value for number, row in enumerate(rows) for name, value in row.items()}
    noted = _SETTLE[len(rows)].all(**values, entry=guess.entry, now=now)
    return next((first_seen_at for browser, first_seen_at in noted if browser), None)
