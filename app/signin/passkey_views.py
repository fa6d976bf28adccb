"""/wan-signin and /wan-verify: sign in, or confirm it's you, with a passkey."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Response, after_this_request, request
from flask_login import current_user

from app.authenticators.models import WebauthnChallenge
from app.authenticators.webauthn.challenges import state_of
from app.client import ClientContext
from app.crypto import secrets
from app.extensions import settings
from app.login.pending import PendingState, StartedPending
from app.login.presenters import label_of, user_facts
from app.sessions.models import AuthSession
from app.sessions.store import current_session
from app.signin import bp, passkeys
from app.signin.forms import PasskeyRequestForm, PasskeySignInForm
from app.signin.presenters import drop_pending, say_confirmed, sign_in_response
from app.users import identities_of
from app.web.access import anonymous_only, login_required
from app.web.client import client_context, present_client
from app.web.commit import view_commit
from app.web.cookies import browser_secret
from app.web.redirects import next_or, safe_next
from app.web.respond import respond, wants_json, wants_token

PAGE = "signin/passkey.html"


@bp.get("/wan-signin")
@anonymous_only
def wan_signin_page() -> Response:
    """Show the button that requests a passkey, to sign in or as the second factor of a pending sign-in."""
    form = PasskeyRequestForm()
    form.next.data = safe_next(request.args.get("next"))
    form.remember.data = settings.default_remember_me
    browser_secret()
    pending_sign_in = passkeys.pending_for_passkey(present_client())
    if pending_sign_in is None:
        drop_pending()
    return respond(
        PAGE,
        form,
        context=_page("/wan-signin", pending_sign_in=pending_sign_in),
        is_secondary=pending_sign_in is not None,
    )


@bp.post("/wan-signin")
@anonymous_only
def wan_signin() -> Response:
    """Start a sign-in with a passkey, as the only or as the second factor."""
    after_this_request(view_commit)
    form = PasskeyRequestForm()
    pending_sign_in = passkeys.pending_for_passkey(_client_of(form.pending.data))
    if form.validate():
        with form.collecting_errors():
            begun = (
                passkeys.begin_second(pending_sign_in, client_context())
                if pending_sign_in
                else passkeys.begin(client_context())
            )
            facts = {"remember": form.remember.data, "is_secondary": pending_sign_in is not None}
            return _begun("/wan-signin", form, *begun, pending_sign_in=pending_sign_in, **facts)
    return respond(PAGE, form, context=_page("/wan-signin", pending_sign_in=pending_sign_in))


@bp.post("/wan-signin/<state>")
@anonymous_only
def wan_signin_response(state: str) -> Response:
    """Sign in with the browser's response."""
    after_this_request(view_commit)
    form = PasskeySignInForm()
    pending_sign_in = passkeys.pending_for_passkey(_client_of(form.pending.data))
    if form.validate():
        with form.collecting_errors():
            next_url, answer = next_or("", form.next.data), form.credential.data
            if pending_sign_in is not None:
                result: AuthSession | PendingState = passkeys.finish_as_second(
                    pending_sign_in, state, answer, client_context()
                )
                next_url = next_url or pending_sign_in.row.next
            else:
                result = passkeys.sign_in(
                    state, answer, client_context(), remember=form.remember.data, next_page=next_url
                )
            go = next_url or settings.post_login_url
            return sign_in_response(result, go, post_login_url=go)
    return respond(PAGE, form, context=_page("/wan-signin", pending_sign_in=pending_sign_in))


@bp.get("/wan-verify")
@login_required
def wan_verify_page() -> Response:
    """Show the button to reauthenticate with a passkey."""
    form = PasskeyRequestForm()
    form.next.data = safe_next(request.args.get("next"))
    return respond(PAGE, form, context=_page("/wan-verify"))


@bp.post("/wan-verify")
@login_required
def wan_verify() -> Response:
    """Start reauthenticating with a passkey."""
    after_this_request(view_commit)
    form = PasskeyRequestForm()
    if form.validate():
        with form.collecting_errors():
            ceremony, options = passkeys.begin_again(current_user, _session(), client_context())
            return _begun("/wan-verify", form, ceremony, options)
    return respond(PAGE, form, context=_page("/wan-verify"))


@bp.post("/wan-verify/<state>")
@login_required
def wan_verify_response(state: str) -> Response:
    """Freshen the session with the browser's response."""
    after_this_request(view_commit)
    form = PasskeySignInForm()
    if form.validate():
        with form.collecting_errors():
            session = _session()
            passkeys.verify(current_user, session, state, form.credential.data)
            say_confirmed(session)
            go = next_or(settings.post_verify_url or "/", form.next.data)
            return respond(go=go, user=user_facts(current_user, session, with_token=wants_token(), instead=True))
    return respond(PAGE, form, context=_page("/wan-verify"))


def _session() -> AuthSession:
    session = current_session()
    assert session is not None  # guaranteed by login_required
    return session


def _client_of(handle: str | None) -> ClientContext:
    """Return the client. An API client without cookies sends back the ``pending`` token that it was given."""
    present = present_client()
    return replace(present, pending_secret=secrets.digest(handle)) if handle and not present.pending_secret else present


def _begun(
    path: str,
    form: PasskeyRequestForm,
    ceremony: WebauthnChallenge,
    options: dict[str, Any],
    *,
    pending_sign_in: StartedPending | None = None,
    **facts: Any,
) -> Response:
    shown = _page(path, state_of(ceremony), pending_sign_in)
    return respond(PAGE, form, context=shown, credential_options=options, wan_state=state_of(ceremony), **facts)


def _page(path: str, asking: str = "", pending_sign_in: StartedPending | None = None) -> dict[str, Any]:
    """Return the template context; empty for API clients.

    :param asking: state of a ceremony that was started without JavaScript
    """
    if wants_json():
        return {}
    label = label_of(identities_of(current_user.id)) if current_user.is_authenticated else None
    return {
        "path": path,
        "asking": asking,
        "rp_id": settings.rp_id,
        "available": settings.can_use_passkeys,
        "second_step": pending_sign_in is not None,
        "other_steps": pending_sign_in is not None and len(pending_sign_in.choices) > 1,
        "user_label": label,
    }
