"""/: the account page, or a welcome page for people who aren't signed in."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask_login import current_user

from app import clock, user_agents
from app.account import bp, overview, passkey_offer_views
from app.authenticators import recovery_codes
from app.authenticators.enrollments import enrolled_of
from app.authenticators.presenters import PROOFS
from app.enrollments.catalog import active_methods
from app.extensions import settings
from app.login.presenters import label_of, needed_for_changes
from app.sessions.assurance import level, two_factors_until
from app.sessions.store import current_session
from app.users import identities_of
from app.web.errors import unauthenticated
from app.web.respond import respond, wants_json


@bp.get("/")
def home() -> Response:
    """Show who is signed in and how; a program that is not signed in gets a 401."""
    session = current_session()
    if session is None:
        return (
            unauthenticated() if wants_json() else respond("account/welcome.html", registration=settings.registration)
        )
    mine, enrolled = identities_of(current_user.id), enrolled_of(current_user.id)
    stock, before = recovery_codes.stock_of(current_user.id), overview.sign_in_before(session)
    if wants_json():
        facts: dict[str, Any] = {"active_methods": active_methods(enrolled), "amr": session.amr.split(",")}
        facts |= {"aal": level(session, clock.now()), "last_sign_in": before, "recovery_codes_left": stock.left}
        facts |= {"second_factors": overview.seconds_of(enrolled), "user": {"id": current_user.handle, **mine}}
        return respond(**facts)
    shown = {
        "user": {kind: mine.get(kind) for kind in ("email", "phone", "username")}
        | {"created_at": current_user.created_at},
        "user_label": label_of(mine),
        "matters": overview.overview_of(enrolled, stock),
        "needed": needed_for_changes(session, enrolled),
        "before": before,
        "passkey_offered": passkey_offer_views.is_offered(current_user, session, enrolled),
        "titles": PROOFS,
        "session": {
            "browser": user_agents.label(session.agent),
            "since": session.created_at,
            "methods": [PROOFS.get(name, name) for name in session.amr.split(",")],
            "two_factors_until": two_factors_until(session, clock.now()),
        },
    }
    return respond("account/home.html", shown=shown)
