"""What the sign-in page shows, and where it leads: to a session, or to the second step."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from flask_login import current_user

from app.extensions import settings
from app.methods import carrying
from app.methods.enrollment import enrolled_of
from app.methods.showing import means_text, methods_offered, sent
from app.methods.strength import strengths_of
from app.sessions import pending
from app.sessions.freshness import missing_proof
from app.sessions.models import AuthSession
from app.sessions.pending import Parked
from app.sessions.showing import second_step, user_facts
from app.signin.flow import PURPOSE
from app.signin.forms import ContinueForm, SignInForm
from app.web.asker import present_asker
from app.web.respond import respond, wants_json
from app.web.telling import say, wants_token

PAGE = "signin/signin.html"


def page(step: str, told: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return what the page shows at ``step``: ``identity`` or ``code``."""
    more = {"methods": methods_offered()["available_methods"], "passkeys": settings.can_use_passkeys}
    return methods_offered() | {"step": step, "sent": told} | more


def page_again(form: SignInForm | ContinueForm) -> dict[str, Any]:
    """Return what the page of a refused sign-in shows: the code entry, if this browser was sent a code."""
    if wants_json():
        return {}
    looked_up = form.refusal_facts.get("here")
    asked = looked_up or carrying.last_open(present_asker(), PURPOSE)
    if asked is None or not form.identity.data or form.identity.errors:
        return page("identity")
    return page("code", sent(asked.challenge, form.identity.data, asked.characters))


def drop_pending() -> None:
    """Take back the cookie of a sign-in under way from who looks at where one begins, but not for looking ahead."""
    if request.method != "HEAD" and "prefetch" not in request.headers.get("Sec-Purpose", ""):
        pending.drop(present_asker())


def say_confirmed(session: AuthSession) -> None:
    """Tell a browser whose owner has confirmed that they can go on, or what more than adding still needs."""
    if wants_json():
        return
    missing = missing_proof(session, strengths_of(enrolled_of(session.user_id)))
    if missing:
        say("reauthentication_partial", methods=means_text(missing))
    else:
        say("reauthentication_successful")


def welcome(arrived: AuthSession | Parked, go: str, **facts: Any) -> Response:
    """Answer who has proved who they are: they are signed in, or told of the second step.

    :param go: where a browser goes that is signed in
    :param facts: what a program is told besides when it is
    """
    if isinstance(arrived, Parked):
        return respond(**second_step(arrived))
    user = user_facts(current_user, arrived, with_token=wants_token())
    return respond(go=go, user=user, tf_required=False, **facts)
