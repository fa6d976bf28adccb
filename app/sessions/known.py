"""Known browsers: from where somebody has signed in before.

A known browser is no proof and opens nothing. It has guesses of its own when strangers have used up the account's
(docs/adr), and signing in from one is no news to the owner.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite speaks this INSERT as well

from app.extensions import changed, db
from app.kit import clock
from app.kit.asking import Asker
from app.sessions.models import KnownBrowser
from app.sessions.opening import hand_out_known

Acquaintance = Literal["new", "known", "none"]
"""Whether a browser was new to an account, or known; ``none`` is a program, which keeps no cookies."""

SEEN_EVERY = timedelta(days=1)
"""``last_seen_at`` is written, and the cookie's year begun again, at most this often."""

LIFE = timedelta(days=365)
"""A browser unused for so long is forgotten, by us and by itself."""

_table = KnownBrowser.__table__
_NOTE = (
    insert(_table)
    .values(
        user_id=sa.bindparam("user_id"), digest=sa.bindparam("digest"), agent=sa.bindparam("agent"),
        first_seen_at=sa.bindparam("now"), last_seen_at=sa.bindparam("now"),
    )
    .on_conflict_do_update(
        index_elements=[_table.c.user_id, _table.c.digest],
        set_={"last_seen_at": sa.bindparam("now"), "agent": sa.bindparam("agent")},
        where=_table.c.revoked_at.is_(None),
    )
    .returning(_table.c.first_seen_at)
)  # fmt: skip


def note_browser(user_id: int, asker: Asker, seen_at: datetime | None = None) -> Acquaintance:
    """Note that this user signs in from the asker's browser; return whether it was new to the account.

    Its cookie goes out when the row is stored. A browser that was revoked comes as a new one, with another secret:
    who may have copied the old one is known by it no more.
    :param seen_at: its ``last_seen_at``, where that was looked up already; one seen today costs no statement
    """
    if not asker.keeps_cookies:
        return "none"
    now = clock.now()
    if seen_at is not None and now < seen_at + SEEN_EVERY:
        return "known"
    row = {"user_id": user_id, "agent": asker.agent[:256], "now": now}
    digest = hand_out_known(LIFE)
    first_seen_at = db.session.scalar(_NOTE, row | {"digest": digest})
    if first_seen_at is None:
        first_seen_at = db.session.scalar(_NOTE, row | {"digest": hand_out_known(LIFE, renew=True)})
    return "new" if first_seen_at == now else "known"


def revoke_browsers(user_id: int, *, but: str = "") -> int:
    """Let no browser be known to this account any more, except the one with the digest ``but``; return how many were.

    Goes with what ends sessions because something about the account's safety has changed. Signing out revokes
    nothing: the browser stays one from which its owner signs in.
    """
    known = (_table.c.user_id == user_id, _table.c.revoked_at.is_(None), _table.c.digest != but)
    return changed(sa.update(_table).where(*known).values(revoked_at=clock.now()))
