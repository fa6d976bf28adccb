"""Tell the owners of accounts of sign-ins from browsers that were new there.

A request only marks the session: its statements are counted. The worker writes the mail, within one sweep of its.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from app import outbox
from app.extensions import changed, db
from app.sessions.models import AuthSession
from app.sessions.pruning import KEPT_FOR
from app.users import Identity, User

BATCH = 100
"""Sessions told of in one transaction."""

_earlier = AuthSession.__table__.alias("earlier")
_seen_before = sa.exists().where(_earlier.c.user_id == AuthSession.user_id, _earlier.c.id < AuthSession.id)
"""Whether the account had been signed in to before, as far as anybody remembers."""

_NEWS = (
    sa.select(AuthSession, Identity.value, User.created_at, _seen_before)
    .join(User, User.id == AuthSession.user_id)
    .outerjoin(Identity, sa.and_(Identity.user_id == AuthSession.user_id, Identity.kind == "email"))
    .where(AuthSession.untold)
    .limit(BATCH)
)


@outbox.feeder
def tell_of_new_browsers() -> None:
    """Have a mail sent about each session that was opened from a new browser; none for the first of a new account.

    An account older than sessions are remembered is told of its first one too: nobody knows that it is.
    Of two workers one tells. What has ended meanwhile is told all the same: it was there.
    """
    for session, email, opened_at, seen_before in db.session.execute(_NEWS).all():
        mine = sa.update(AuthSession).where(AuthSession.id == session.id, AuthSession.untold)
        if changed(mine.values(untold=False)) and email and (seen_before or session.created_at - opened_at > KEPT_FOR):
            facts: dict[str, Any] = {"family": session.family, "agent": session.agent, "address": session.address}
            outbox.enqueue("new_device", "mail", email, user_id=session.user_id, **facts)
