"""What the user has to do before an app gets its response (OpenID Connect Core, sections 3.1.2.3 and 3.1.2.4)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from app import clock
from app.oidc.authorization import Authorization
from app.oidc.claims import scopes_for_claims
from app.oidc.consents import Relation
from app.oidc.subjects import subject_for
from app.sessions import assurance
from app.sessions.models import AuthSession

Step = Literal["sign_in", "choose_account", "confirm", "second_factor", "not_allowed", "consent", "answer"]

ERRORS: dict[Step, tuple[str, str]] = {
    "sign_in": ("login_required", "Nobody is signed in."),
    "choose_account": ("account_selection_required", "An account has to be chosen."),
    "confirm": ("login_required", "The person has to confirm who they are."),
    "second_factor": ("interaction_required", "A second factor is asked for."),
    "not_allowed": ("access_denied", "This account may not use the app."),
    "consent": ("consent_required", "The person has to allow this."),
}
"""Errors for clients that want no page to be shown (section 3.1.2.6)."""


@dataclass(frozen=True, slots=True)
class Situation:
    """The user's state when an app makes a request.

    :ivar since: when the app first made the request; anything done after that was done for it
    :ivar has_consented: whether the user has consented to this particular request
    """

    session: AuthSession
    relation: Relation
    since: datetime
    has_consented: bool = False


def next_step(authorization: Authorization, situation: Situation | None) -> Step:
    """Return the next step; ``answer`` if nothing is left to do."""
    if situation is None:
        return "sign_in"
    if "select_account" in authorization.prompts:
        return "choose_account"
    if authorization.subject and authorization.subject != subject_for(situation.relation.handle, authorization.client):
        return "sign_in" if authorization.is_silent else "choose_account"
    if _must_confirm(authorization, situation):
        return "confirm"
    if authorization.level > assurance.level(situation.session, clock.now()) and (
        authorization.must_have_level or not authorization.is_silent
    ):
        return "second_factor"
    if not all(each.admits(situation.relation.groups) for each in (authorization.client, *authorization.served_by)):
        return "not_allowed"
    return "consent" if _must_consent(authorization, situation) else "answer"


def scopes_to_allow(authorization: Authorization) -> list[str]:
    """Return the scopes the user decides about, including those behind individual claims."""
    behind = scopes_for_claims(authorization.claims)
    return [scope for scope in authorization.client.scopes if scope in authorization.scopes or scope in behind]


def _must_confirm(authorization: Authorization, situation: Situation) -> bool:
    """Return whether the user has to reauthenticate, and hasn't since the app made its request."""
    authenticated_at = situation.session.authenticated_at
    if authenticated_at >= situation.since:
        return False
    if "login" in authorization.prompts:
        return True
    return (
        authorization.max_age is not None and authenticated_at + timedelta(seconds=authorization.max_age) < clock.now()
    )


def _must_consent(authorization: Authorization, situation: Situation) -> bool:
    """Return whether the user has to consent.

    An app identified by its metadata document needs consent each time: the document may have changed, and another
    program on the same device can use its name (RFC 8252, section 8.6). So does a request for a service that isn't
    listed for the app, since consent is only remembered by scope.
    """
    if "consent" in authorization.prompts:
        return True
    if authorization.client.consent == "trusted":
        return False
    if authorization.client.source == "document" or authorization.served_by:
        return not situation.has_consented
    return not situation.relation.allowed.issuperset(scopes_to_allow(authorization))
