"""The signed-in user as pages and JSON show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from app.authenticators import recovery_codes
from app.authenticators.assurance import assurance_levels_of
from app.authenticators.enrollments import enrolled_of
from app.authenticators.presenters import Needed, needed_of
from app.enrollments.catalog import method_of
from app.enrollments.models import Enrollment
from app.extensions import settings
from app.login.freshness import missing_proof
from app.login.pending import PendingState
from app.sessions import refresh_tokens
from app.sessions.models import AuthSession
from app.sessions.store import create_api_session, revoke_api_clients
from app.users import User


def label_of(identities: dict[str, str]) -> str:
    """Return by which of their identities a page calls somebody: the address, else the first there is."""
    return identities.get("email") or next(iter(identities.values()), "")


STEPS = {"ready": "/tf-validate", "select": "/tf-select", "setup_from_login": "/tf-setup"}
"""Where a browser takes its second step, by the state of its sign-in."""


def second_step(pending_state: PendingState) -> dict[str, Any]:
    """Return what the answer to a first proof tells of the second step that is due: ``go`` and facts for a program."""
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
    if pending_state.handle:
        facts |= {"pending": pending_state.handle}
    return {"go": f"{path}?{urlencode({'next': row.next})}" if row.next else path} | facts


def needed_for_changes(session: AuthSession | None, enrolled: Sequence[Enrollment] | None = None) -> Needed | None:
    """Return what a change of the account needs that ``session`` was not confirmed with; None when nothing more.

    :param enrolled: what its owner has set up, where that was looked up already
    """
    if session is None:
        return None
    rows = enrolled_of(session.user_id) if enrolled is None else enrolled
    missing = missing_proof(session, assurance_levels_of(rows))
    return needed_of(missing, recovery_codes.stock_of(session.user_id).left) if missing else None


def user_facts(
    user: User, session: AuthSession | None = None, *, with_token: str = "", instead: bool = False
) -> dict[str, Any]:
    """Return ``user`` for a program.

    :param with_token: give it a token of its own beside ``session``; ``refresh`` also one to exchange later
    :param instead: whether that takes the place of the access tokens that the session gave before
    """
    facts: dict[str, Any] = {"id": user.handle}
    if session is not None and with_token:
        if instead:
            revoke_api_clients(session.session_id)
        facts["authentication_token"] = create_api_session(session)
        if settings.refresh_tokens and with_token == "refresh":  # noqa: S105 - what is wanted, no secret
            facts["refresh_token"] = refresh_tokens.give(session)
    return facts
