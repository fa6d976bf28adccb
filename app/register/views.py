"""/register: create an account. /confirm: confirm its email by code or link, or its phone number by code."""

from __future__ import annotations

from flask import Response, after_this_request, redirect, request
from flask_login import current_user

from app.authenticators.presenters import requester_of, sent_code_context, sent_code_facts
from app.challenges.models import Challenge
from app.challenges.service import latest_in_browser
from app.errors import Rejected
from app.extensions import settings
from app.login.pending import PendingState
from app.login.presenters import second_step, user_facts
from app.register import bp
from app.register import service as registration
from app.register.contact import is_by_phone
from app.register.forms import ConfirmForm, ConfirmLinkForm, RegisterForm
from app.users import User, identifiers
from app.users.registration import why_closed
from app.web.access import anonymous_only
from app.web.client import clicking_client, client_context, present_client, sending_client
from app.web.commit import view_commit
from app.web.cookies import browser_secret
from app.web.headers import no_referrer
from app.web.messages import message
from app.web.phone_numbers import identity_text
from app.web.redirects import safe_next, with_query
from app.web.respond import flash_message, respond, support_id, wants_token

PAGE = "register/register.html"

CONFIRM_PAGE = "register/confirm.html"
OTHER_BROWSER_PAGE = "register/confirm_elsewhere.html"


@bp.get("/register")
@anonymous_only
def register_page() -> Response:
    """Show the registration form."""
    form = RegisterForm()
    form.next.data = safe_next(request.args.get("next"))
    browser_secret()
    return respond(PAGE, form, context=_page_context())


@bp.post("/register")
@anonymous_only
def register() -> Response:
    """Create an account and send the code that confirms its email or number."""
    after_this_request(view_commit)
    form = RegisterForm()
    if form.validate():
        with form.collecting_errors():
            password = _password(form)
            next_page = safe_next(form.next.data) or ""
            contact = form.contact
            challenge = registration.register(contact, password, sending_client(), next_page=next_page)
            if settings.post_register_url:  # our own next page says so itself
                code = "confirm_by_text" if is_by_phone(challenge) else "confirm_registration"
                flash_message(code, "info", email=identity_text(contact.text))
            facts = sent_code_facts(sent_code_context(challenge, contact.text)) | {
                "user": {},
                "support_id": support_id(),
            }
            return respond(go=settings.post_register_url or confirm_url(next_page), **facts)
    return respond(PAGE, form, context=_page_context())


def _page_context() -> dict[str, object]:
    """Return why there is no form, if no one can register without an invitation, and whether numbers are accepted."""
    by_phone = settings.can_register_by_phone and settings.registration == "open"
    return {"closed": message(code) if (code := why_closed()) else "", "by_phone": by_phone}


def _password(form: RegisterForm) -> str | None:
    """Return the password, which must be entered twice; None to create the account without one."""
    if "password" not in form or not (form.password.data or form.password_confirm.data):
        return None
    if not form.password.data:
        raise Rejected("password_not_provided", field="password")
    if form.password.data != form.password_confirm.data:
        raise Rejected("retype_password_mismatch", field="password_confirm")
    return str(form.password.data)


@bp.get("/confirm")
def confirm_page() -> Response:
    """Show where the code was sent, or ask for an email or number."""
    browser_secret()
    form = ConfirmForm()
    form.remember.data = settings.default_remember_me
    challenge = _open_challenge()
    form.next.data = safe_next(request.args.get("next")) or (challenge.next if challenge else "")
    return respond(CONFIRM_PAGE, form, context=_confirm_context(challenge))


@bp.post("/confirm")
def confirm() -> Response:
    """Confirm an email or number by its code, or send another one."""
    after_this_request(view_commit)
    form = ConfirmForm()
    if form.validate():
        with form.collecting_errors():
            if form.passcode.data in (None, "") or form.send_again.data:
                next_page = safe_next(form.next.data) or ""
                challenge = registration.send_again(form.contact, sending_client(form.challenge.data), next_page)
                flash_message(_resent_message(challenge), "info", email=identity_text(form.contact.text))
                return respond(
                    CONFIRM_PAGE,
                    form,
                    see_other=confirm_url(next_page),
                    support_id=support_id(),
                    **sent_code_facts(sent_code_context(challenge, challenge.destination)),
                )
            client, remember = client_context(form.challenge.data), form.remember.data
            session, confirmed = registration.confirm_by_code(
                form.contact, form.passcode.data, client, remember=remember
            )
            flash_message("phone_confirmed" if is_by_phone(confirmed) else "email_confirmed")
            if isinstance(session, PendingState):
                return respond(**second_step(session))
            facts = user_facts(current_user, session, with_token=wants_token())
            go = settings.post_confirm_url or confirmed.next or settings.post_login_url
            return respond(go=go, user=facts, tf_required=False)
    return respond(CONFIRM_PAGE, form, context=_confirm_context(_open_challenge()))


@bp.get("/confirm/<token>")
def confirm_link(token: str) -> Response:
    """Confirm and sign in the browser that requested the link; show a button in any other."""
    after_this_request(view_commit)
    try:
        opened, is_same_browser = registration.open_confirmation(token, clicking_client())
        challenge = opened.challenge
        if not is_same_browser:
            shown = {
                "address": identifiers.mask("email", challenge.destination),
                "asked": requester_of(challenge),
                "token": token,
            }
            return no_referrer(respond(OTHER_BROWSER_PAGE, ConfirmLinkForm(), context=shown))
        next_page = challenge.next
        user, outcome = registration.confirm_by_link(token, present_client())
    except Rejected as rejected:
        return no_referrer(_error_page(rejected))
    if isinstance(outcome, PendingState):
        return no_referrer(_second_step(outcome))
    return no_referrer(_confirmed(user, challenge.destination, next_page or settings.post_login_url))


@bp.post("/confirm/<token>")
def confirm_link_post(token: str) -> Response:
    """Confirm the address from a browser other than the one that requested it, which is not signed in."""
    after_this_request(view_commit)
    form = ConfirmLinkForm()
    if form.validate():
        with form.collecting_errors():
            user, session = registration.confirm_by_link(token, present_client())
            flash_message("email_confirmed")
            if isinstance(session, PendingState):
                return no_referrer(respond(**second_step(session)))
            go = settings.post_confirm_url or (settings.post_login_url if session else "/login")
            return no_referrer(respond(go=go, user=user_facts(user)))
    return no_referrer(respond(OTHER_BROWSER_PAGE, form, context={"address": "", "asked": None, "token": token}))


def confirm_url(next_page: str) -> str:
    """Return the URL of the page for the code, which keeps ``next_page`` after the code has expired."""
    return with_query("/confirm", next=next_page) if next_page else "/confirm"


def _open_challenge() -> Challenge | None:
    """Return this browser's open confirmation, if there is one."""
    return latest_in_browser(present_client(), registration.CONFIRM)


def _resent_message(challenge: Challenge) -> str:
    """Return the message that tells the user that another code was sent, or may have been."""
    if settings.generic_responses:
        return "confirm_generic_by_text" if is_by_phone(challenge) else "confirm_generic"
    return "confirm_by_text" if is_by_phone(challenge) else "confirm_registration"


def _confirm_context(challenge: Challenge | None) -> dict[str, object]:
    """Return what the page shows: a confirmation that was sent, and whether numbers can be confirmed."""
    shown = sent_code_context(challenge, challenge.destination) if challenge else None
    return {"sent": shown, "by_phone": settings.can_register_by_phone}


def _confirmed(user: User, email: str, go: str) -> Response:
    target = settings.post_confirm_url or go
    if settings.redirect_behavior == "spa":
        text = message("email_confirmed")
        return redirect(with_query(target, success=text, identity=email, email=email))  # type: ignore[return-value]
    flash_message("email_confirmed")
    return redirect(target)  # type: ignore[return-value]


def _second_step(pending: PendingState) -> Response:
    """Continue with the second step, as after a magic link."""
    if settings.redirect_behavior == "spa":
        return redirect(with_query(settings.post_login_url, tf_required=1))  # type: ignore[return-value]
    flash_message("email_confirmed")
    return redirect(second_step(pending)["go"])  # type: ignore[return-value]


def _error_page(rejected: Rejected) -> Response:
    category = "info" if rejected.code == "already_confirmed" else "error"
    target = settings.confirm_error_url or "/confirm"
    if settings.redirect_behavior == "spa":
        text = message(rejected.code)
        return redirect(with_query(target, **{category: text, "error_code": rejected.code}))  # type: ignore[return-value]
    flash_message(rejected.code, category)
    return redirect(target)  # type: ignore[return-value]
