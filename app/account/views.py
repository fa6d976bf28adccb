"""/: the account page, or a redirect to the sign-in page. /activity: the account's recent events.

/language: the language of pages and messages, signed in or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from flask import Response, after_this_request, request
from flask_login import current_user

from app import clock, user_agents
from app.account import bp, overview
from app.account.activity import FILTERS, events_of
from app.authenticators import recovery_codes
from app.authenticators.enrollments import enrolled_of
from app.authenticators.presenters import amr_titles
from app.crypto import secrets
from app.enrollments.methods import active_methods, method_of
from app.enrollments.models import Enrollment
from app.errors import Rejected
from app.extensions import execute_update, settings
from app.i18n import COOKIE, N_, gettext
from app.login.presenters import label_of, needed_for_changes
from app.sessions.assurance import is_recent, level, two_factors_until
from app.sessions.models import AuthSession
from app.sessions.store import current_session
from app.users import User, identities_of
from app.users.administrators import is_administrator
from app.web.access import login_required
from app.web.commit import view_commit
from app.web.cookies import set_cookie
from app.web.errors import unauthenticated
from app.web.forms import BaseForm, ButtonForm, SafeNext, TextField
from app.web.redirects import safe_next
from app.web.respond import respond, wants_json

NOT_NOW = "latchkey_not_now"
"""Cookie that identifies the account for which adding a passkey was last declined. It grants no access."""

NOT_NOW_KEPT = timedelta(days=90)

KEPT_FOR = timedelta(days=365)


class LanguageForm(BaseForm):
    """A language and the page to return to: ``next`` from API clients, ``page`` from pages that may have a ``next``."""

    language = TextField(N_("Language"))
    next = TextField("", [SafeNext()])
    page = TextField()


@bp.get("/")
def home() -> Response:
    """Show the account. Without a session, browsers get the sign-in page and API clients a 401."""
    session = current_session()
    if session is None:
        return unauthenticated() if wants_json() else respond(go="/us-signin")
    mine, enrolled = identities_of(current_user.id), enrolled_of(current_user.id)
    code_count, before = recovery_codes.count_of(current_user.id), overview.sign_in_before(session)
    if wants_json():
        facts: dict[str, Any] = {"active_methods": active_methods(enrolled), "amr": session.amr.split(",")}
        facts |= {"aal": level(session, clock.now()), "last_sign_in": before, "recovery_codes_left": code_count.left}
        user = {"id": current_user.handle, **mine} | ({"name": current_user.name} if current_user.name else {})
        return respond(second_factors=overview.seconds_of(enrolled), user=user, **facts)
    context = {
        "user": {kind: mine.get(kind) for kind in ("email", "phone", "username")}
        | {"created_at": current_user.created_at},
        "user_label": label_of(mine),
        "matters": overview.overview_of(enrolled, code_count, declined=_has_declined(current_user)),
        "needed": needed_for_changes(session, enrolled),
        "before": before,
        "console": settings.admin and is_administrator(current_user.id),
        "passkey_offered": _offers_passkey(current_user, session, enrolled),
        "titles": amr_titles(),
        "session": {
            "browser": user_agents.label(session.agent),
            "since": session.created_at,
            "methods": [gettext(amr_titles().get(name, name)) for name in session.amr.split(",")],
            "two_factors_until": two_factors_until(session, clock.now()),
        },
    }
    return respond("account/home.html", context=context)


@bp.get("/activity")
@login_required
def activity_page() -> Response:
    """Show a page of events: the newest or those before a cursor, all or filtered."""
    before, show = request.args.get("before"), request.args.get("show", "all")
    events, older = events_of(current_user.id, before, show)
    if wants_json():
        return respond(events=events, older=older)
    days = [(day, list(those)) for day, those in groupby(events, key=lambda event: event["at"].date())]
    context = {
        "titles": amr_titles(), "user_label": label_of(identities_of(current_user.id)), "days": days,
        "first": before is None, "show": show, "filters": FILTERS, "older": older,
    }  # fmt: skip
    return respond("account/activity.html", context=context)


@bp.post("/language")
def choose_language() -> Response:
    """Set the language of this browser, and of the signed-in account."""
    after_this_request(view_commit)
    form = LanguageForm()
    if form.validate():
        with form.collecting_errors():
            tag = str(form.language.data or "")
            if tag not in settings.languages:
                raise Rejected("invalid_choice", field="language")
            if current_user.is_authenticated and current_user.language != tag:
                execute_update(sa.update(User).where(User.id == current_user.id).values(language=tag))
            answer = respond(see_other=safe_next(form.page.data) or safe_next(form.next.data) or "/", language=tag)
            set_cookie(answer, COOKIE, tag, int(KEPT_FOR.total_seconds()))
            return answer
    return respond("errors/form.html", form)


@bp.post("/passkey-offer/not-now")
@login_required
def passkey_not_now() -> Response:
    """Stop offering a passkey to this account in this browser for three months."""
    after_this_request(view_commit)
    form = ButtonForm()
    if form.validate():
        answer = respond(go="/")
        set_cookie(answer, NOT_NOW, _declined_mark(current_user), int(NOT_NOW_KEPT.total_seconds()))
        return answer
    return respond("errors/form.html", form)


def next_step() -> overview.OverviewItem | None:
    """Return the most important thing to do next in the signed-in account; None if there is nothing left."""
    enrolled, code_count = enrolled_of(current_user.id), recovery_codes.count_of(current_user.id)
    matters = overview.overview_of(enrolled, code_count, declined=_has_declined(current_user))
    return next((matter for matter in matters if not matter.is_well), None)


def _offers_passkey(user: User, session: AuthSession, enrolled: Sequence[Enrollment]) -> bool:
    """Return whether to offer ``user`` a passkey: they have none, have just authenticated, and haven't declined.

    No SQL statement: the enrollments and the session are already loaded, and the rest is in a cookie.
    """
    has_one = any(not method_of(row.method).is_typed for row in enrolled)
    just_now = is_recent(session.authenticated_at, clock.now())
    return settings.can_use_passkeys and not has_one and just_now and not _has_declined(user)


def _has_declined(user: User) -> bool:
    """Return whether ``user`` has recently declined a passkey in this browser."""
    return request.cookies.get(settings.cookie_prefix + NOT_NOW) == _declined_mark(user)


def _declined_mark(user: User) -> str:
    return secrets.digest(user.handle)[:16]
