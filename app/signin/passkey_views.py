"""/wan-signin and /wan-verify: sign in, and prove again, with a passkey."""

from __future__ import annotations

from typing import Any

from flask import Response, after_this_request, request
from flask_login import current_user, login_required

from app.extensions import settings
from app.methods.ceremonies import state_of
from app.methods.models import Ceremony
from app.sessions.models import AuthSession
from app.sessions.opening import brought_session
from app.sessions.showing import label_of, user_facts
from app.signin import bp, passkey
from app.signin.pages import welcome
from app.signin.passkey_forms import AnswerForm, AskForm
from app.users import identities_of
from app.web.asker import asker
from app.web.browser import browser_secret
from app.web.commit import view_commit
from app.web.guards import anonymous_only
from app.web.redirects import next_or, safe_next
from app.web.respond import respond, wants_json
from app.web.telling import say, wants_token

PAGE = "signin/passkey.html"


@bp.get("/wan-signin")
@anonymous_only
def wan_signin_page() -> Response:
    """Show the button that asks for a passkey."""
    form = AskForm()
    form.next.data = safe_next(request.args.get("next"))
    browser_secret()
    return respond(PAGE, form, shown=_page("/wan-signin"), is_secondary=False)


@bp.post("/wan-signin")
@anonymous_only
def wan_signin() -> Response:
    """Begin to sign in with a passkey."""
    after_this_request(view_commit)
    form = AskForm()
    if form.validate():
        with form.showing_refusals():
            ceremony, options = passkey.begin(asker())
            facts = {"remember": form.remember.data, "is_secondary": False}
            return _begun("/wan-signin", form, ceremony, options, **facts)
    return respond(PAGE, form, shown=_page("/wan-signin"))


@bp.post("/wan-signin/<state>")
@anonymous_only
def wan_signin_response(state: str) -> Response:
    """Sign in with what the browser answered."""
    after_this_request(view_commit)
    form = AnswerForm()
    if form.validate():
        with form.showing_refusals():
            go_on = next_or("", form.next.data)
            how: dict[str, Any] = {"remember": form.remember.data, "next_page": go_on}
            arrived = passkey.sign_in(state, form.credential.data, asker(), **how)
            go = go_on or settings.post_login_url
            return welcome(arrived, go, post_login_url=go)
    return respond(PAGE, form, shown=_page("/wan-signin"))


@bp.get("/wan-verify")
@login_required
def wan_verify_page() -> Response:
    """Show the button by which who is signed in proves it again."""
    form = AskForm()
    form.next.data = safe_next(request.args.get("next"))
    return respond(PAGE, form, shown=_page("/wan-verify"))


@bp.post("/wan-verify")
@login_required
def wan_verify() -> Response:
    """Begin to prove again with a passkey."""
    after_this_request(view_commit)
    form = AskForm()
    if form.validate():
        with form.showing_refusals():
            ceremony, options = passkey.begin_again(current_user, _session(), asker())
            return _begun("/wan-verify", form, ceremony, options)
    return respond(PAGE, form, shown=_page("/wan-verify"))


@bp.post("/wan-verify/<state>")
@login_required
def wan_verify_response(state: str) -> Response:
    """Freshen the session with what the browser answered."""
    after_this_request(view_commit)
    form = AnswerForm()
    if form.validate():
        with form.showing_refusals():
            session = _session()
            passkey.verify(current_user, session, state, form.credential.data)
            say("reauthentication_successful")
            go = next_or(settings.post_verify_url or "/", form.next.data)
            return respond(go=go, user=user_facts(current_user, session, with_token=wants_token()))
    return respond(PAGE, form, shown=_page("/wan-verify"))


def _session() -> AuthSession:
    session = brought_session()
    assert session is not None  # login_required has seen to it
    return session


def _begun(path: str, form: AskForm, ceremony: Ceremony, options: dict[str, Any], **facts: Any) -> Response:
    state = state_of(ceremony)
    return respond(PAGE, form, shown=_page(path, state), credential_options=options, wan_state=state, **facts)


def _page(path: str, asking: str = "") -> dict[str, Any]:
    """Return what the page shows; a program needs none of it.

    :param asking: state of a ceremony that was begun without a script
    """
    if wants_json():
        return {}
    label = label_of(identities_of(current_user.id)) if current_user.is_authenticated else None
    return {"path": path, "asking": asking, "rp_id": settings.rp_id, "available": settings.can_use_passkeys,
            "user_label": label}  # fmt: skip
