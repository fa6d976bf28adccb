"""Present the signed-in user, and the second factor that is still required, in pages and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from app.authenticators import recovery_codes
from app.authenticators.assurance import assurance_levels_of
from app.authenticators.enrollments import enrolled_of
from app.authenticators.presenters import Needed, needed_of
from app.enrollments.methods import method_of
from app.enrollments.models import Enrollment
from app.extensions import settings
from app.login.freshness import missing_verification
from app.login.pending import PendingState
from app.sessions import refresh_tokens
from app.sessions.models import AuthSession
from app.sessions.store import create_api_session, revoke_api_clients
from app.users import User


def label_of(identities: dict[str, str]) -> str:
    """Return the identity that pages display for a user: the email, or else the first one."""
    return identities.get("email") or next(iter(identities.values()), "")


STEPS = {"ready": "/tf-validate", "select": "/tf-select", "setup_from_login": "/tf-setup"}
"""Paths for the second factor, by state of the pending sign-in."""


def second_step(pending_state: PendingState) -> dict[str, Any]:
    """Return the response to a verified first factor if a second is required: ``go``, and fields for API clients."""
    row, facts = pending_state.row, dict[str, Any](tf_required=True)
    path = STEPS[row.state]
    if row.state == "select":
        facts |= {"tf_select": True, "tf_setup_methods": [name for name in row.choices.split(",") if name]}
    elif row.method and not method_of(row.method).is_typed:
        path = "/wan-signin"
        facts |= {"tf_state": row.state, "tf_method": row.method, "tf_signin_url": path}
    elif row.method:
        facts |= {"tf_state": row.state, "tf_method": row.method, "tf_primary_method": row.method}
    else:
        facts |= {"tf_state": row.state}
    if pending_state.token:
        facts |= {"pending": pending_state.token}
    return {"go": f"{path}?{urlencode({'next': row.next})}" if row.next else path} | facts


def needed_for_changes(session: AuthSession | None, enrolled: Sequence[Enrollment] | None = None) -> Needed | None:
    """Return the verification that ``session`` still needs for changes to the account; None if it needs none.

    :param enrolled: the user's enrollments, if already looked up
    """
    if session is None:
        return None
    rows = enrolled_of(session.user_id) if enrolled is None else enrolled
    missing = missing_verification(session, assurance_levels_of(rows))
    return needed_of(missing, recovery_codes.count_of(session.user_id).left) if missing else None


def user_facts(
    user: User, session: AuthSession | None = None, *, with_token: str = "", instead: bool = False
) -> dict[str, Any]:
    """Return ``user`` for an API client.

    :param with_token: issue an access token for ``session``; ``refresh`` also issues a refresh token
    :param instead: whether to revoke the access tokens that the session issued before
    """
    facts: dict[str, Any] = {"id": user.handle}
    if session is not None and with_token:
        if instead:
            revoke_api_clients(session.session_id)
        facts["authentication_token"] = create_api_session(session)
        if settings.refresh_tokens and with_token == "refresh":  # noqa: S105 - what is wanted, no secret
            facts["refresh_token"] = refresh_tokens.issue(session)
    return facts
