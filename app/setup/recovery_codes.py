"""Create recovery codes, and save them as a text file."""

from __future__ import annotations

from collections.abc import Sequence

from app import clock, throttling
from app.audit import signals
from app.authenticators import recovery_codes
from app.authenticators.enrollments import enrolled_of
from app.authenticators.registry import authenticator_of
from app.client import ClientContext
from app.enrollments.catalog import WEAK
from app.errors import Rejected
from app.extensions import settings
from app.i18n import date_text, gettext
from app.login.credential_changes import lock_credentials, revoke_other_sessions
from app.login.presenters import needed_for_changes
from app.notifications.notices import notify_of_new_codes
from app.sessions.assurance import strength_of
from app.sessions.models import AuthSession
from app.users import User

PAGE = "/mf-recovery-codes"


def make(user: User, session: AuthSession, client: ClientContext) -> list[str]:
    """Give ``user`` ten new codes and return them, for they can be shown only now.

    Those from before work no more, and the account's other sessions end, as with every change of the ways in.
    :raises Rejected: ``too_many_requests``; ``api_error`` when the session was denied meanwhile
    """
    throttling.take("starts", client.ip_address)
    drawn = recovery_codes.draw()
    lock_credentials(user, session)
    recovery_codes.store(user.id, drawn, session.session_id)
    revoke_other_sessions(user, session, client)
    notify_of_new_codes(user.id, client, session.session_id)
    signals.send(signals.us_profile_changed, user=user, methods=[recovery_codes.METHOD], delete=False)
    return [each.code for each in drawn]


def page_after(user: User, session: AuthSession, method: str, page: str) -> str:
    """Return where somebody goes on who has added ``method``: to recovery codes after their first strong one, else to
    ``page``.
    """
    if strength_of(method) <= WEAK or _has_older_strong(user, method):
        return page
    if recovery_codes.stock_of(user.id).made_at is not None:
        return page
    return page if needed_for_changes(session) else PAGE


def _has_older_strong(user: User, method: str) -> bool:
    """Whether ``user`` had another strong method already when they added ``method``."""
    enrolled = enrolled_of(user.id)
    if any(strength_of(row.method) > WEAK for row in enrolled if row.method != method):
        return True
    return len(authenticator_of(method).credentials_of(user.id, enrolled)) > 1


def as_text(codes: Sequence[str], account: str) -> str:
    """Return ``codes`` as a file for a drawer. They come from the page that has just shown them; nothing keeps them.

    :param account: how its owner calls the account
    :raises Rejected: ``api_error`` on ``recovery_codes`` when these are no codes
    """
    if not 0 < len(codes) <= recovery_codes.COUNT or any(recovery_codes.read(code) is None for code in codes):
        raise Rejected("api_error", field="recovery_codes")
    now = clock.now()
    head = [
        gettext(
            "Recovery codes for {account} at {brand}, {link}",
            account=account,
            brand=settings.brand_name,
            link=settings.public_url,
        ),
        gettext("Created {time}. Each code works once. Anyone who has them can sign in as you.", time=date_text(now)),
        "",
    ]
    return "\n".join([*head, *codes, ""])
