"""What the sign-in page says of a protected app that somebody is on the way to."""

from __future__ import annotations

from collections.abc import Mapping

from app.forward_auth.app_file import app_of
from app.web.destinations import Destination
from app.web.launcher import letter_of, tint_of


def destination_of_request(query: Mapping[str, str]) -> Destination | None:
    """Return the app that a query of ``/gate/continue`` names."""
    app = app_of(query.get("app", ""))
    return Destination(app.name, "", letter_of(app.name), tint_of(app.id)) if app is not None else None
