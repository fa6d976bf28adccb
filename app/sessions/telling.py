"""Tell the owners of accounts of sign-ins from browsers that were new there.

A request only marks the session: its statements are counted. The worker writes the mail, within one sweep of its.
"""

from __future__ import annotations

import sqlalchemy as sa

from app import outbox
from app.extensions import changed, db
from app.sessions.models import AuthSession, Standing
from app.users import Identity

BATCH = 100
"""Sessions told of in one transaction."""

_known_then = sa.select(sa.func.count()).where(
    Standing.user_id == AuthSession.user_id, Standing.first_seen_at <= AuthSession.created_at
)
"""How many browsers the account had known by then, the new one included."""

_NEWS = (
    sa.select(AuthSession, Identity.value, _known_then.scalar_subquery())
    .outerjoin(Identity, sa.and_(Identity.user_id == AuthSession.user_id, Identity.kind == "email"))
    .where(AuthSession.untold)
    .limit(BATCH)
)


@outbox.feeder
def tell_of_new_browsers() -> None:
    """Have a mail sent about each session that was opened from a new browser; none for the first of an account.

    Of two workers one tells. What has ended meanwhile is told all the same: it was there.
    """
    for session, email, known in db.session.execute(_NEWS).all():
        mine = sa.update(AuthSession).where(AuthSession.id == session.id, AuthSession.untold)
        if changed(mine.values(untold=False)) and email and known > 1:
            facts = {"family": session.family, "agent": session.agent, "address": session.address}
            outbox.enqueue("new_device", "mail", email, user_id=session.user_id, **facts)
