"""/us-verify-link: the link in a sign-in mail."""

from __future__ import annotations

from flask import Response, after_this_request, redirect, request

from app.extensions import settings
from app.kit.refusals import Refused
from app.methods.showing import asked
from app.sessions.showing import user_facts
from app.signin import bp, links
from app.signin.forms import LinkForm
from app.users import User, identities_of
from app.web.asker import clicking_asker, present_asker
from app.web.commit import view_commit
from app.web.guards import anonymous_only
from app.web.redirects import next_or, with_query
from app.web.respond import respond
from app.web.telling import say
from app.web.texts import sentence

PAGE = "signin/link.html"


@bp.get("/us-verify-link")
@anonymous_only
def us_verify_link() -> Response:
    """Sign in the browser that asked for the link; show any other what was asked, and change nothing.

    A mail's link is a page to go to, so programs are redirected as browsers are.
    """
    after_this_request(view_commit)
    token = request.args.get("token", "")
    try:
        if not token:
            raise Refused("api_error")
        followed = links.follow(token, clicking_asker())
    except Refused as refused:
        return _quiet(_went_wrong(refused))
    if followed.session is None:
        form = LinkForm()
        form.token.data = token
        return _quiet(respond(PAGE, form, shown={"asked": asked(followed.challenge)}, state="elsewhere"))
    return _quiet(_signed_in(followed))


@bp.post("/us-verify-link")
@anonymous_only
def us_verify_link_post() -> Response:
    """Sign in by the link's page, in the browser that asked."""
    after_this_request(view_commit)
    form = LinkForm()
    shown: dict[str, object] = {"state": "elsewhere", "asked": None}
    if form.validate():
        with form.showing_refusals():
            shown = {"state": "gone", "asked": None}
            followed = links.follow(form.token.data, present_asker())
            shown = {"state": "elsewhere", "asked": asked(followed.challenge)}
            if followed.session is None:
                raise Refused("link_elsewhere")
            go = followed.challenge.next or settings.post_login_url
            return _quiet(respond(go=go, user=user_facts(followed.user, followed.session), tf_required=False))
    return _quiet(respond(PAGE, form, shown=shown))


def _signed_in(followed: links.Followed) -> Response:
    if settings.redirect_behavior == "spa":
        return redirect(with_query(settings.post_login_url, **_who(followed.user)))  # type: ignore[return-value]
    say("passwordless_login_successful")
    return redirect(next_or(followed.challenge.next or settings.post_login_url))  # type: ignore[return-value]


def _went_wrong(refused: Refused) -> Response:
    text = sentence(refused.code, **refused.facts)
    if settings.redirect_behavior == "spa":
        target = settings.login_error_url or "/us-signin"
        return redirect(with_query(target, error=text, error_code=refused.code))  # type: ignore[return-value]
    say(refused.code, "error", **refused.facts)
    return redirect("/us-signin")  # type: ignore[return-value]


def _who(user: User) -> dict[str, str]:
    identities = identities_of(user.id)
    email = identities.get("email", "")
    return {"identity": email or next(iter(identities.values()), ""), "email": email}


def _quiet(response: Response) -> Response:
    """Keep the token out of referrers and caches (ASVS 14.2.1)."""
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
