"""What the sign-in page says of a protected app that a person is on the way to."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from app.forward_auth.app_file import app_of
from app.web.destinations import Destination
from app.web.launcher import letter_of, tint_of

LONGEST_RETURN = 1024
"""Characters of a path and query that a visitor is led back to."""

_LONGEST_ENCODED = 1600
"""The same as it stands in the query of ``/gate/continue``, which with the rest is no longer than a ``next`` may be."""


def can_be_kept(target: str) -> bool:
    """Whether a path and query, percent-encoded, outlasts the way through the sign-in."""
    return len(target) <= LONGEST_RETURN and len(quote(target, safe="")) <= _LONGEST_ENCODED


def destination_of_request(query: Mapping[str, str]) -> Destination | None:
    """Return the app that a query of ``/gate/continue`` names."""
    app = app_of(query.get("app", ""))
    return Destination(app.name, "", letter_of(app.name), tint_of(app.id)) if app is not None else None
