"""/sign-in-link: the one-time link that an administrator had sent. Opening it spends nothing; its button signs in."""

from __future__ import annotations

from flask import Response, after_this_request

from app.extensions import settings
from app.signin import bp, sent_links
from app.signin.presenters import welcome
from app.users import identifiers
from app.web.access import anonymous_only
from app.web.client import client_context
from app.web.commit import view_commit
from app.web.cookies import browser_secret
from app.web.forms import ButtonForm
from app.web.respond import respond

PAGE = "signin/sent_link.html"


@bp.get("/sign-in-link/<token>")
@anonymous_only
def sent_link_page(token: str) -> Response:
    """Show the button that signs in. Nothing is spent."""
    link, _ = sent_links.find_open(token)
    browser_secret()
    email = identifiers.mask("email", link.email)
    return _quiet(respond(PAGE, ButtonForm(), shown={"token": token}, email=email, expires_at=link.expires_at))


@bp.post("/sign-in-link/<token>")
@anonymous_only
def use_sent_link(token: str) -> Response:
    """Sign this browser in, or go on to its second step."""
    after_this_request(view_commit)
    form = ButtonForm()
    if form.validate():
        return _quiet(welcome(sent_links.use(token, client_context()), settings.post_login_url))
    return _quiet(respond("errors/form.html", form))


def _quiet(response: Response) -> Response:
    """Keep the token out of referrers (ASVS 14.2.1)."""
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
