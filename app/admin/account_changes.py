"""Operations that administrators perform on accounts, from the console or the command line.

Each takes ``by``, which is recorded in the event: ``operator`` for the command line, or ``admin:`` and the handle of
the administrator.
"""

from __future__ import annotations

import sqlalchemy as sa

from app import clock
from app.audit import record
from app.authenticators import enrollments
from app.challenges.service import end_open
from app.client import ClientContext
from app.extensions import execute_update
from app.login import second_factor
from app.notifications import notices
from app.notifications.notices import sentence
from app.outbox import suppressions
from app.privacy.deletion import schedule_deletion
from app.privacy.models import Deletion
from app.sessions import api_tokens
from app.sessions.known_devices import revoke_browsers
from app.sessions.store import revoke_all_sessions, revoke_session
from app.signin import sent_links
from app.throttling.by_account import reset_failures
from app.users import User, administrators, all_identities_of, lock_account
from app.web.access import SCOPE_OF_CONSOLE


def disable(user: User, *, by: str) -> int | None:
    """Disable an account, revoke its sessions, open challenges, sent links and tokens, and forget its known browsers.

    :return: how many sessions ended, or None if the account was already disabled
    """
    off = sa.update(User).where(User.id == user.id, User.disabled_at.is_(None)).values(disabled_at=clock.now())
    if execute_update(off) != 1:
        return None
    ended = revoke_all_sessions(user.id)
    end_open(user.id)
    sent_links.end_all(user.id)
    revoke_browsers(user.id)
    api_tokens.revoke_all(user.id, reason="disabled")
    record("account.disabled", user.id, by=by)
    return ended


def enable(user: User, *, by: str) -> bool:
    """Allow an account to sign in again; return False if it wasn't disabled."""
    on = sa.update(User).where(User.id == user.id, User.disabled_at.is_not(None)).values(disabled_at=None)
    if execute_update(on) != 1:
        return False
    record("account.enabled", user.id, by=by)
    return True


def unlock(user: User, *, by: str) -> bool:
    """Reset the counters of failed codes and passwords; return whether there were any failures."""
    forgotten = reset_failures(user.id) + second_factor.reset_misses(user.id)
    record("account.unlocked", user.id, by=by)
    return forgotten > 0


def resume_mail(user: User, *, by: str) -> int:
    """Lift the suppressions of an account's email addresses after bounces; return how many were lifted."""
    mine = (row.value for row in all_identities_of(user.id) if row.kind == "email")
    return sum(suppressions.lift(address, by) for address in mine)


def turn_off_second_step(user: User, *, by: str) -> int | None:
    """Turn off two-step verification for an owner who has lost their second factor; return how many sessions ended.

    The former second factor remains a sign-in method. All sessions of the account end, and its owner is notified.
    :return: None if two-step verification wasn't set up
    """
    lock_account(user.id)
    if not enrollments.unmark_second_factors(user.id):
        return None
    ended = revoke_all_sessions(user.id)
    revoke_browsers(user.id)
    record("second_step.off", user.id, by=by)
    what = sentence("An administrator turned off two-step verification. You now sign in with one method.")
    notices.notify(user.id, what, ClientContext("", "", ""))
    return ended


def end_sessions(user: User, *, by: str, tokens: bool = False) -> tuple[int, int]:
    """End all sessions of an account; return how many, and how many API tokens were revoked.

    :param tokens: also revoke API tokens and apps' offline access
    """
    ended = revoke_all_sessions(user.id)
    revoked = api_tokens.revoke_all(user.id, reason="ended_by_operator") if tokens else 0
    if ended:
        record_ended(user, ended, by=by)
    return ended, revoked


def end_session(user: User, session_id: str, *, by: str) -> int:
    """End one session of an account and the tokens it issued; return how many ended, 0 if there is no such session."""
    if ended := revoke_session(session_id, user_id=user.id):
        record_ended(user, ended, by=by)
    return ended


def record_ended(user: User, ended: int, *, by: str) -> None:
    """Record that an operator ended sessions of an account."""
    record("session.ended", user.id, reason="ended_by_operator", sessions=ended, by=by)


def remove_administrator(user: User, *, by: str, keep_one: bool = False) -> bool:
    """Revoke an account's access to the console, and its tokens for it; return False if it had none.

    :raises Rejected: as ``administrators.revoke``
    """
    if not administrators.revoke(user.id, keep_one=keep_one):
        return False
    api_tokens.revoke_with_scope(user.id, SCOPE_OF_CONSOLE)
    record("administrator.removed", user.id, by=by)
    return True


def erase_now(user: User, *, by: str) -> None:
    """Close an account and have the worker erase it now, without notifying anyone."""
    schedule_deletion(user, quietly=True, by=by)
    now = clock.now()
    execute_update(sa.update(Deletion).where(Deletion.user_id == user.id).values(deletes_at=now, due_at=now))
