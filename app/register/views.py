"""/register: create an account."""

from __future__ import annotations

from flask import Response, after_this_request, request

from app.authenticators.presenters import sent, sent_facts
from app.errors import Rejected
from app.extensions import settings
from app.register import bp
from app.register import service as registration
from app.register.confirm_views import page_of
from app.register.contact import is_by_phone
from app.register.forms import RegisterForm
from app.users.registration import why_closed
from app.web.access import anonymous_only
from app.web.client import sending_client
from app.web.commit import view_commit
from app.web.cookies import browser_secret
from app.web.messages import message
from app.web.phone_numbers import identity_text
from app.web.redirects import safe_next
from app.web.respond import respond, say, support_id

PAGE = "register/register.html"


@bp.get("/register")
@anonymous_only
def register_page() -> Response:
    """Show the registration form."""
    form = RegisterForm()
    form.next.data = safe_next(request.args.get("next"))
    browser_secret()
    return respond(PAGE, form, shown=_shown())


@bp.post("/register")
@anonymous_only
def register() -> Response:
    """Create an account and send the code that confirms its email or number."""
    after_this_request(view_commit)
    form = RegisterForm()
    if form.validate():
        with form.showing_refusals():
            password = _password(form)
            next_page = safe_next(form.next.data) or ""
            contact = form.contact
            challenge = registration.register(contact, password, sending_client(), next_page=next_page)
            if settings.post_register_url:  # our own next page says it itself
                code = "confirm_by_text" if is_by_phone(challenge) else "confirm_registration"
                say(code, "info", email=identity_text(contact.text))
            facts = sent_facts(sent(challenge, contact.text)) | {"user": {}, "support_id": support_id()}
            return respond(go=settings.post_register_url or page_of(next_page), **facts)
    return respond(PAGE, form, shown=_shown())


def _shown() -> dict[str, object]:
    """Return why the page has no form, if nobody can register without an invitation, and whether numbers do as well."""
    by_phone = settings.can_register_by_phone and settings.registration == "open"
    return {"closed": message(code) if (code := why_closed()) else "", "by_phone": by_phone}


def _password(form: RegisterForm) -> str | None:
    """Return the password, which has to be typed twice; None when the account is created without one."""
    if "password" not in form or not (form.password.data or form.password_confirm.data):
        return None
    if not form.password.data:
        raise Rejected("password_not_provided", field="password")
    if form.password.data != form.password_confirm.data:
        raise Rejected("retype_password_mismatch", field="password_confirm")
    return str(form.password.data)
