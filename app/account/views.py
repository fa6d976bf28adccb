"""/: the account page, and a welcome for who is not signed in."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask_login import current_user

from app.account import bp
from app.extensions import settings
from app.kit import agents, clock
from app.methods.enrollment import enrolled_of
from app.methods.registry import active_methods
from app.methods.showing import PROOFS, ways_in
from app.sessions.assurance import level, two_factors_until
from app.sessions.opening import brought_session
from app.sessions.showing import label_of
from app.users import identities_of
from app.web.errors import unauthenticated
from app.web.respond import respond, wants_json


@bp.get("/")
def home() -> Response:
    """Show who is signed in and how; a program that is not signed in gets a 401."""
    session = brought_session()
    if session is None:
        return (
            unauthenticated() if wants_json() else respond("account/welcome.html", registration=settings.registration)
        )
    mine, enrolled = identities_of(current_user.id), enrolled_of(current_user.id)
    if wants_json():
        user = {"id": current_user.handle, **mine}
        facts: dict[str, Any] = {"active_methods": active_methods(enrolled), "amr": session.amr.split(",")}
        return respond(user=user, aal=level(session, clock.now()), **facts)
    shown = {
        "user": {kind: mine.get(kind) for kind in ("email", "phone", "username")}
        | {"created_at": current_user.created_at},
        "user_label": label_of(mine),
        "methods": ways_in(enrolled, mine),
        "session": {
            "browser": agents.label(session.agent),
            "since": session.created_at,
            "methods": [PROOFS.get(name, name) for name in session.amr.split(",")],
            "two_factors_until": two_factors_until(session, clock.now()),
        },
    }
    return respond("account/home.html", shown=shown)
