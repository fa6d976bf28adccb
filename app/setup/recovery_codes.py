"""Create recovery codes, and save them as a text file."""

from __future__ import annotations

from collections.abc import Sequence

from app import clock, throttling
from app.audit import signals
from app.authenticators import recovery_codes
from app.authenticators.enrollments import enrolled_of
from app.authenticators.registry import authenticator_of
from app.client import ClientContext
from app.enrollments.methods import WEAK
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


def create(user: User, session: AuthSession, client: ClientContext) -> list[str]:
    """Create ten new codes for ``user`` and return them; they can't be shown again.

    The previous codes stop working, and the account's other sessions end, as with every change of sign-in methods.
    :raises Rejected: ``too_many_requests``; ``api_error`` if the session has ended or was reported meanwhile
    """
    throttling.take("starts", client.ip_address)
    codes = recovery_codes.generate()
    lock_credentials(user, session)
    recovery_codes.store(user.id, codes, session.session_id)
    revoke_other_sessions(user, session, client)
    notify_of_new_codes(user.id, client, session.session_id)
    signals.send(signals.us_profile_changed, user=user, methods=[recovery_codes.METHOD], delete=False)
    return [each.code for each in codes]


def page_after(user: User, session: AuthSession, method: str, page: str) -> str:
    """Return the page to show after adding ``method``: recovery codes after the first strong method, else ``page``."""
    if strength_of(method) <= WEAK or _has_older_strong(user, method):
        return page
    if recovery_codes.count_of(user.id).made_at is not None:
        return page
    return page if needed_for_changes(session) else PAGE


def _has_older_strong(user: User, method: str) -> bool:
    """Return whether ``user`` already had a strong method, or another credential of ``method``."""
    enrolled = enrolled_of(user.id)
    if any(strength_of(row.method) > WEAK for row in enrolled if row.method != method):
        return True
    return len(authenticator_of(method).credentials_of(user.id, enrolled)) > 1


def as_text(codes: Sequence[str], account: str) -> str:
    """Return ``codes`` as a text file to keep. The page that has just shown them sends them back; they aren't stored.

    :param account: how the owner refers to the account
    :raises Rejected: ``api_error`` on ``recovery_codes`` if they aren't in the format of recovery codes
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
