"""Views for links in emails, and for a browser that waits for its link to be approved on another device.

``/us-verify-link`` is the magic link sent with a code. ``/sign-in-link`` is a link sent by an administrator: opening it
spends nothing, its button signs in. ``/not-me`` reports a request that the recipient didn't make.
"""

from __future__ import annotations

from typing import Any

from flask import Response, after_this_request, redirect, request
from flask_login import current_user

from app import user_agents
from app.authenticators.presenters import requester_of
from app.challenges.magic_links import OpenedLink
from app.challenges.notice_links import report_link
from app.errors import Rejected
from app.extensions import settings
from app.login.pending import PendingState
from app.login.presenters import second_step, user_facts
from app.signin import bp, links, reports, sent_links
from app.signin.forms import ContinueForm, LinkForm, NotMeForm
from app.signin.presenters import PAGE as SIGN_IN_PAGE
from app.signin.presenters import page_again, remember_method, sign_in_response
from app.users import User, identifiers, identities_of
from app.web.access import already_signed_in, anonymous_only
from app.web.client import client_context, is_click, present_client
from app.web.commit import view_commit
from app.web.cookies import browser_secret
from app.web.forms import ButtonForm
from app.web.headers import no_referrer
from app.web.messages import message
from app.web.redirects import next_or, safe_next, with_query
from app.web.respond import envelope, flash_message, respond

PAGE = "signin/link.html"
PAGE_AFTER = {
    "link_elsewhere": "elsewhere",
    "link_characters_wrong": "elsewhere",
    "too_many_requests": "elsewhere",
    "link_refused": "refused",
}
"""Page states after an error. After any other error, the link is no longer valid (``gone``)."""

SENT_PAGE = "signin/sent_link.html"
REPORT_PAGE = "signin/not_me.html"


@bp.get("/us-verify-link")
def us_verify_link() -> Response:
    """Sign in the browser that requested the link. In any other, only show the request.

    A link in an email is a page to visit, so API clients are redirected just like browsers.
    """
    after_this_request(view_commit)
    token, client = request.args.get("token", ""), present_client()
    try:
        if not token:
            raise Rejected("api_error")
        opened = links.open_valid(token, client)
        if not (is_click() and links.is_requesting_browser(opened, client)):
            links.record_opened_elsewhere(opened, client)
            form = LinkForm()
            form.token.data = token
            link = with_query(settings.public_url + request.path, token=token)
            shown = _shown(opened) | {"link": link}
            return no_referrer(respond(PAGE, form, context=shown, state="elsewhere"))
        if current_user.is_authenticated:
            return no_referrer(already_signed_in())
        result = links.follow(opened, client)
    except Rejected as rejection:
        return no_referrer(already_signed_in() if current_user.is_authenticated else _error_page(rejection))
    if isinstance(result, PendingState):
        return no_referrer(_continue_to_second_factor(result))
    return no_referrer(remember_method(_signed_in(opened), result))


@bp.post("/us-verify-link")
def us_verify_link_post() -> Response:
    """Sign in the browser that requested the link. In any other, accept its confirmation characters."""
    after_this_request(view_commit)
    form = LinkForm()
    shown: dict[str, Any] = {"state": "elsewhere", "asked": None}
    if form.validate():
        with form.collecting_errors():
            try:
                return no_referrer(_follow_or_approve(form, shown))
            except Rejected as rejection:
                shown["state"] = PAGE_AFTER.get(rejection.code, "gone")
                shown["again"] = _start_page(rejection.facts.get("next") or shown.get("next"))
                raise
    if current_user.is_authenticated and shown["asked"] is None:
        return no_referrer(already_signed_in())
    return no_referrer(respond(PAGE, form, context=shown))


@bp.get("/us-signin/status")
def us_signin_status() -> Response:
    """Return the state of the link to the browser or API client that requested it. Always JSON, sets no cookies."""
    return envelope(200, {"state": links.state(present_client(request.args.get("challenge")))})


@bp.post("/us-signin/continue")
@anonymous_only
def us_signin_continue() -> Response:
    """Sign in the browser or API client that requested a link, once it was approved on another device."""
    after_this_request(view_commit)
    form = ContinueForm()
    if form.validate():
        with form.collecting_errors():
            result, challenge = links.continue_sign_in(client_context(form.challenge.data), remember=form.remember.data)
            return sign_in_response(result, next_or(challenge.next or settings.post_login_url, form.next.data))
    return respond(SIGN_IN_PAGE, form, context=page_again(form))


@bp.get("/sign-in-link/<token>")
@anonymous_only
def sent_link_page(token: str) -> Response:
    """Show the button that signs in. Spends nothing."""
    link, _ = sent_links.find_open(token)
    browser_secret()
    email = identifiers.mask("email", link.email)
    return no_referrer(
        respond(SENT_PAGE, ButtonForm(), context={"token": token}, email=email, expires_at=link.expires_at)
    )


@bp.post("/sign-in-link/<token>")
@anonymous_only
def use_sent_link(token: str) -> Response:
    """Sign in this browser, or continue to the second factor."""
    after_this_request(view_commit)
    form = ButtonForm()
    if form.validate():
        return no_referrer(sign_in_response(sent_links.use(token, client_context()), settings.post_login_url))
    return no_referrer(respond("errors/form.html", form))


@bp.get("/not-me/<token>")
def not_me_page(token: str) -> Response:
    """Show the request, and a button that cancels it. Changes nothing."""
    report = reports.view(token)
    return no_referrer(
        respond(REPORT_PAGE, NotMeForm(), context=_report_page(token, report), state=_report_state(report))
    )


@bp.post("/not-me/<token>")
def not_me(token: str) -> Response:
    """Cancel the reported request. Works in any browser, and signs no one in."""
    after_this_request(view_commit)
    form = NotMeForm()
    if form.validate() and form.sure.data:
        report = reports.report(token)
    else:
        report = reports.view(token, strict=False)
        if not form.faults():
            form.add_error(Rejected("denial_unsure", field="sure"))
    return no_referrer(respond(REPORT_PAGE, form, context=_report_page(token, report), state=_report_state(report)))


def _follow_or_approve(form: LinkForm, shown: dict[str, Any]) -> Response:
    """Sign in this browser, or accept the characters; add the request to ``shown``."""
    token, typed, client = form.token.data, form.characters.data or "", present_client()
    opened = links.open_valid(token, client)
    shown |= _shown(opened)
    if links.is_requesting_browser(opened, client):
        if current_user.is_authenticated:
            return already_signed_in()
        result = links.follow(opened, client)
        if isinstance(result, PendingState):
            return respond(**second_step(result))
        go = opened.challenge.next or settings.post_login_url
        return remember_method(respond(go=go, user=user_facts(current_user, result), tf_required=False), result)
    if not typed.strip():
        raise Rejected("link_elsewhere", field="characters")  # not a try: bots press buttons, too
    links.approve(opened, token, typed, client)
    return respond(PAGE, form, context={"asked": shown["asked"]}, state="approved")


def _shown(opened: OpenedLink) -> dict[str, Any]:
    """Return the request and the link to report it, as the page shows them."""
    challenge = opened.challenge
    shown = {"asked": requester_of(challenge), "denial": report_link("challenge", challenge.id, challenge.created_at)}
    shown |= {"next": challenge.next, "again": _start_page(challenge.next)}
    return shown | {"same_system": user_agents.is_same_system(challenge.agent, present_client().user_agent)}


def _signed_in(opened: OpenedLink) -> Response:
    if settings.redirect_behavior == "spa":
        return redirect(with_query(settings.post_login_url, **_who(current_user)))  # type: ignore[return-value]
    flash_message("passwordless_login_successful")
    return redirect(next_or(opened.challenge.next or settings.post_login_url))  # type: ignore[return-value]


def _continue_to_second_factor(pending_state: PendingState) -> Response:
    """Redirect to the second factor. An SPA has the state in the cookie, and gets the details by GET /tf-validate."""
    if settings.redirect_behavior == "spa":
        return redirect(with_query(settings.post_login_url, tf_required=1))  # type: ignore[return-value]
    return redirect(second_step(pending_state)["go"])  # type: ignore[return-value]


def _error_page(rejection: Rejected) -> Response:
    text, start = message(rejection.code, **rejection.facts), _start_page(rejection.facts.get("next"))
    if settings.redirect_behavior == "spa":
        target = settings.login_error_url or start
        return redirect(with_query(target, error=text, error_code=rejection.code))  # type: ignore[return-value]
    # Someone who followed a link hasn't typed anything to check.
    code = "invalid_code" if rejection.code == "generic_authn_failed" else rejection.code
    flash_message(code, "error", **rejection.facts)
    return redirect(start)  # type: ignore[return-value]


def _start_page(next_page: str | None) -> str:
    """Return the URL for requesting another code, keeping the page to continue to."""
    goal = safe_next(next_page) or safe_next(request.args.get("next"))
    return with_query("/us-signin", next=goal) if goal else "/us-signin"


def _who(user: User) -> dict[str, str]:
    identities = identities_of(user.id)
    email = identities.get("email", "")
    return {"identity": email or next(iter(identities.values()), ""), "email": email}


def _report_page(token: str, report: reports.ReportView) -> dict[str, object]:
    return {"token": token, "asked": report.asked, "removed": report.removed}


def _report_state(report: reports.ReportView) -> str:
    return "denied" if report.reported else "asked"
