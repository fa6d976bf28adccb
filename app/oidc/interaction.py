"""What the user has to do before an app gets its response (OpenID Connect Core, sections 3.1.2.3 and 3.1.2.4)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from app import clock
from app.oidc.authorization import Authorization
from app.oidc.claims import scopes_behind
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


def next_step(asked: Authorization, found: Situation | None) -> Step:
    """Return the next step; ``answer`` if nothing is left to do."""
    if found is None:
        return "sign_in"
    if "select_account" in asked.prompts:
        return "choose_account"
    if asked.subject and asked.subject != subject_for(found.relation.handle, asked.client):
        return "sign_in" if asked.is_silent else "choose_account"
    if _must_confirm(asked, found):
        return "confirm"
    if asked.level > assurance.level(found.session, clock.now()) and (asked.must_have_level or not asked.is_silent):
        return "second_factor"
    if not all(each.admits(found.relation.groups) for each in (asked.client, *asked.served_by)):
        return "not_allowed"
    return "consent" if _must_consent(asked, found) else "answer"


def scopes_to_allow(asked: Authorization) -> list[str]:
    """Return the scopes the user decides about, including those behind individual claims."""
    behind = scopes_behind(asked.claims)
    return [scope for scope in asked.client.scopes if scope in asked.scopes or scope in behind]


def _must_confirm(asked: Authorization, found: Situation) -> bool:
    """Return whether the user has to reauthenticate, and hasn't since the app made its request."""
    authenticated_at = found.session.authenticated_at
    if authenticated_at >= found.since:
        return False
    if "login" in asked.prompts:
        return True
    return asked.max_age is not None and authenticated_at + timedelta(seconds=asked.max_age) < clock.now()


def _must_consent(asked: Authorization, found: Situation) -> bool:
    """Return whether the user has to consent.

    An app identified by its metadata document needs consent each time: the document may have changed, and another
    program on the same device can use its name (RFC 8252, section 8.6). So does a request for a service that isn't
    listed for the app, since consent is only remembered by scope.
    """
    if "consent" in asked.prompts:
        return True
    if asked.client.consent == "trusted":
        return False
    if asked.client.source == "document" or asked.served_by:
        return not found.has_consented
    return not found.relation.allowed.issuperset(scopes_to_allow(asked))
