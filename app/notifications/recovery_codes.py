"""Notices about recovery codes: one was used, or a new set was made."""

from __future__ import annotations

from app.audit import record
from app.authenticators.recovery_codes import METHOD, remaining, stock_of
from app.client import ClientContext
from app.notifications import notices


def notify_of_use(user_id: int, client: ClientContext, session_id: str = "") -> None:
    """Record that a code was used, and tell the owner how many are left.

    :param session_id: of the session that it was used in, if there was one already
    """
    left = stock_of(user_id).left
    record("recovery.code_used", user_id, method=METHOD, left=left)
    notices.notify(user_id, f"A recovery code was used. {remaining(left)}", client, session_id=session_id)


def notify_of_new_codes(user_id: int, client: ClientContext, session_id: str) -> None:
    """Record that the codes are new, and tell the owner.

    :param session_id: of the session that made them
    """
    record("recovery.regenerated", user_id, method=METHOD)
    what = "New recovery codes were made. Those from before, if there were any, work no more."
    notices.notify(user_id, what, client, session_id=session_id)
