"""The contents of the sign-in page, and the response to a sign-in."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from flask_login import current_user

from app.authenticators.assurance import assurance_levels_of
from app.authenticators.enrollments import enrolled_of
from app.authenticators.presenters import methods_offered, methods_text, sent_code_context
from app.challenges import approvals
from app.challenges.magic_links import may_register
from app.challenges.models import Challenge
from app.enrollments.methods import code_methods, method_behind, method_of, typed_methods
from app.errors import Rejected
from app.extensions import settings
from app.login import pending
from app.login.freshness import missing_verification
from app.login.pending import PendingState
from app.login.pipeline import PURPOSE
from app.login.presenters import second_step, user_facts
from app.sessions.models import AuthSession
from app.signin import service
from app.signin.forms import ContinueForm, SendCodeForm, SignInForm
from app.users import get_identity
from app.web import open_request
from app.web.client import present_client
from app.web.cookies import set_cookie
from app.web.open_request import OpenRequest
from app.web.redirects import safe_next
from app.web.respond import flash_message, respond, support_id, wants_json, wants_token

PAGE = "signin/signin.html"
HOME = "/us-signin"
LAST_METHOD = "latchkey_last_method"
"""The cookie that names the method used for the last sign-in in this browser. It grants no access."""

MAX_HINT_LENGTH = 254
"""Maximum length of an email address (RFC 5321)."""

LAST_METHOD_KEPT = 365 * 24 * 3600
"""Seconds."""


def page(step: str, sent_code: dict[str, Any] | None = None, main_method: str = "") -> dict[str, Any]:
    """Return the template context for ``step``: ``identity`` or ``code``.

    :param main_method: method to list first in the first step; defaults to the one last used in this browser
    """
    last = _last_method()
    more = {"methods": methods_offered()["available_methods"], "passkeys": settings.can_use_passkeys,
            "registration": settings.can_register, "opens_account": _opens_account(sent_code),
            "last_method": last, "main_method": main_method or last}  # fmt: skip
    return methods_offered() | {"step": step, "sent": sent_code} | more


def page_of_typed(method: str, form: SignInForm) -> dict[str, Any]:
    """Return the first step with the field of ``method`` open, and fill ``form``, for people coming from a code's page.

    The identity is taken from their request for that code, so that it doesn't appear in a URL.
    """
    waiting = page_of_open(form)
    if waiting is not None:
        form.identity.data = waiting["sent"]["identity"]
    return page("identity", main_method=method) | {"code_waits": waiting is not None}


def _opens_account(sent_code: dict[str, Any] | None) -> bool:
    """Return whether the code creates an account if there is none. Depends only on what was typed."""
    try:
        return sent_code is not None and may_register(get_identity(sent_code["identity"]), sent_code["method"])
    except Rejected:
        return False


def login_hint() -> str:
    """Return the ``login_hint`` of the app that sent the user here: who will probably sign in; "" without one."""
    hint = request.args.get("login_hint", "")
    return hint if len(hint) <= MAX_HINT_LENGTH and hint.isprintable() else ""


def _last_method() -> str:
    """Return the method last used to sign in in this browser; "" if unknown or not enabled."""
    name = request.cookies.get(settings.cookie_prefix + LAST_METHOD, "")
    return name if method_of(name).is_enabled else ""


def page_again(form: SignInForm | SendCodeForm | ContinueForm) -> dict[str, Any]:
    """Return the template context after a rejected sign-in: the code entry, if this browser requested a code.

    If the rejected form requests a code, show the entry only for the same identity. Errors of the first step are
    corrected in the first step.
    """
    if wants_json():
        return {}
    first_step = page("identity", main_method=_method_of(form))
    if isinstance(form, SendCodeForm):
        saved = open_request.load(PURPOSE)
        if saved is None or saved.identity != form.identity.data:
            return first_step
    elif isinstance(form, SignInForm) and not form.chosen_method.data and typed_methods():
        return first_step
    requested = approvals.last_open(present_client(), PURPOSE)
    if requested is None or not form.identity.data or form.identity.errors:
        return first_step
    return page("code", sent_code_context(requested.challenge, form.identity.data, requested.characters))


def _method_of(form: SignInForm | SendCodeForm | ContinueForm) -> str:
    """Return the method of a rejected form. The code page sends it; the first step doesn't."""
    if form.chosen_method.data in code_methods():
        return str(form.chosen_method.data)
    return next(iter(typed_methods() if isinstance(form, SignInForm) else code_methods()), "")


def keep_open(answer: Response, form: SendCodeForm, challenge: Challenge) -> Response:
    """Let the browser return to the code page for as long as the code is valid."""
    typed = form.identity.data or ""
    goal, remember = safe_next(form.next.data) or "", bool(form.remember.data)
    saved = OpenRequest(PURPOSE, challenge.id, typed, goal, remember, support_id())
    return open_request.save(answer, saved, challenge.passcode_expires_at - challenge.created_at)


def page_of_open(form: SignInForm) -> dict[str, Any] | None:
    """Return the page for the code that this browser has requested, and fill ``form``; None without one.

    One statement, if the browser's cookie says that it requested a code.
    """
    saved = open_request.load(PURPOSE)
    requested = approvals.last_open(present_client(), PURPOSE) if saved else None
    if saved is None or requested is None or requested.challenge.id != saved.challenge_id:
        return None
    form.next.data = form.next.data or saved.next or None
    form.remember.data = saved.remember
    shown = page("code", sent_code_context(requested.challenge, saved.identity, requested.characters))
    is_shown = service.shows_undelivered(requested.challenge, present_client())
    return shown | {"support_id": saved.support_id, "undelivered": is_shown}


def drop_pending() -> None:
    """Clear the cookie of a pending sign-in when the start page is opened, except for prefetches and HEAD requests."""
    if request.method != "HEAD" and "prefetch" not in request.headers.get("Sec-Purpose", ""):
        pending.clear_cookie(present_client())


def say_confirmed(session: AuthSession) -> None:
    """Flash that the user can continue after reauthenticating, or what changes other than additions still require."""
    if wants_json():
        return
    missing = missing_verification(session, assurance_levels_of(enrolled_of(session.user_id)))
    if missing:
        flash_message("reauthentication_partial", methods=methods_text(missing))
    else:
        flash_message("reauthentication_successful")


def sign_in_response(result: AuthSession | PendingState, go: str, **facts: Any) -> Response:
    """Return the response after a verified factor: signed in, or the second factor is required.

    :param go: URL to which a signed-in browser is redirected
    :param facts: further fields for an API client that is signed in
    """
    if isinstance(result, PendingState):
        return open_request.clear(respond(**second_step(result)))
    user = user_facts(current_user, result, with_token=wants_token())
    answer = respond(go=go, user=user, tf_required=False, **facts)
    return open_request.clear(remember_method(answer, result))


def remember_method(answer: Response, session: AuthSession) -> Response:
    """Remember in a cookie the first factor of this browser's last completed sign-in. It doesn't reveal the account."""
    if not wants_json():
        set_cookie(answer, LAST_METHOD, method_behind(session.amr.partition(",")[0]), LAST_METHOD_KEPT)
    return answer
