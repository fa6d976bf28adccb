"""/invite: where an invitation link leads. Opening it doesn't use it up, since mail scanners open links too."""

from __future__ import annotations

from typing import Any

from flask import Response, after_this_request, g, request
from flask_login import current_user

from app.authenticators.presenters import sent_code_context, sent_code_facts
from app.errors import Rejected
from app.extensions import settings
from app.groups import service as groups
from app.invitations.models import Invitation
from app.invitations.service import has_accepted
from app.login.pending import PendingState
from app.login.presenters import label_of, second_step, user_facts
from app.register import bp, invited
from app.register import service as registration
from app.register.forms import InviteForm
from app.register.views import confirm_url
from app.sessions.models import AuthSession
from app.users import identifiers, identities_of
from app.web.client import client_context, sending_client
from app.web.commit import view_commit
from app.web.cookies import browser_secret, set_cookie
from app.web.headers import no_referrer
from app.web.messages import message
from app.web.respond import flash_message, respond, support_id, wants_token

PAGE = "register/invite.html"
COOKIE = "latchkey_invitation"
"""Keeps the link while the user signs in, so that it is in no URL and no row."""
COOKIE_LIFETIME = 3600
"""Lifetime of the cookie in seconds."""


@bp.get("/invite")
def invite_again() -> Response:
    """Show the invitation that was opened in this browser before the sign-in."""
    return _page(request.cookies.get(settings.cookie_prefix + COOKIE, ""))


@bp.get("/invite/<token>")
def invite_page(token: str) -> Response:
    """Show what an invitation is for. It isn't used up."""
    return _page(token)


@bp.post("/invite/<token>")
def accept_invitation(token: str) -> Response:
    """Accept: join with the signed-in account, create an account, or send a code to what was entered."""
    after_this_request(view_commit)
    form = InviteForm()
    if form.validate():
        with form.collecting_errors():
            found = invited.find_open(token)
            if current_user.is_authenticated:
                return _without_cookie(_join(found))
            if found.email:
                return _without_cookie(_account_created(invited.create_invited(found, client_context())))
            return _send_code(found, form)
    elif g.get("csrf_fault"):
        return no_referrer(respond("errors/form.html", form))
    return _with_cookie(respond(PAGE, form, context=_page_context(invited.find_open(token), token)), token)


def _page(token: str) -> Response:
    found = invited.find_open(token)
    form = InviteForm()
    browser_secret()
    return _with_cookie(respond(PAGE, form, context=_page_context(found, token), invitation=_facts(found)), token)


def _facts(found: Invitation) -> dict[str, Any]:
    """Return an invitation's address and expiry; also its groups, to a signed-in user who may join them."""
    facts: dict[str, Any] = {
        "email": identifiers.mask("email", found.email) if found.email else None,
        "expires_at": found.expires_at,
        "needs_email": not (found.email or current_user.is_authenticated),
    }
    if current_user.is_authenticated:
        facts |= {"groups": found.group_names, "accepted": has_accepted(found, current_user.id)}
    return facts


def _page_context(found: Invitation, token: str) -> dict[str, Any]:
    """Return what the page shows next to its form."""
    shown: dict[str, Any] = {"token": token, "about": _facts(found), "closed": ""}
    shown["by_phone"] = settings.can_register_by_phone
    if current_user.is_authenticated:
        titles = dict(groups.titles())
        return shown | {
            "user_label": label_of(identities_of(current_user.id)),
            "group_titles": [titles[name] for name in found.group_names if name in titles],
        }
    if settings.registration == "off":
        shown["closed"] = message("registration_closed")
    return shown | {"user_label": "", "has_account": invited.has_account(found)}


def _join(found: Invitation) -> Response:
    joined = invited.join(found, current_user)
    flash_message("invitation_accepted" if joined else "invitation_accepted_before")
    return respond(go=settings.post_login_url, accepted=joined, groups=found.group_names)


def _account_created(outcome: AuthSession | PendingState) -> Response:
    """Respond that an account was created: signed in, or on to the second step that everyone must set up."""
    if isinstance(outcome, PendingState):
        return respond(**second_step(outcome))
    flash_message("invitation_accepted")
    facts = user_facts(current_user, outcome, with_token=wants_token())
    return respond(go=settings.post_confirm_url or settings.post_login_url, user=facts, tf_required=False)


def _send_code(found: Invitation, form: InviteForm) -> Response:
    """Send a code to the email or number that was entered, as for any registration."""
    contact = form.contact
    if not contact.text:
        raise Rejected(
            "contact_not_provided" if settings.can_register_by_phone else "email_not_provided", field="email"
        )
    challenge = registration.register(contact, None, sending_client(), invitation=found)
    facts = sent_code_facts(sent_code_context(challenge, contact.text)) | {"user": {}, "support_id": support_id()}
    return no_referrer(respond(go=settings.post_register_url or confirm_url(""), **facts))


def _with_cookie(response: Response, token: str) -> Response:
    """Keep the link in a cookie during the sign-in, if no one is signed in yet."""
    if not current_user.is_authenticated:
        set_cookie(response, COOKIE, token, COOKIE_LIFETIME)
    return no_referrer(response)


def _without_cookie(response: Response) -> Response:
    if request.cookies.get(settings.cookie_prefix + COOKIE):
        set_cookie(response, COOKIE, "", 0)
    return no_referrer(response)
