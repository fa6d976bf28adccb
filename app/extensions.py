"""Flask extensions, created unbound and bound by ``create_app``, and short ways to the current app and session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from flask import Flask, g, has_request_context, request
from flask.globals import _cv_app
from flask_login import LoginManager
from flask_mail import Mail

from app.crypto.encryption import KeyRing
from app.db.columns import db as db

if TYPE_CHECKING:
    from flask import Request
    from sqlalchemy import CursorResult
    from sqlalchemy.sql.dml import UpdateBase

    from config.settings import Settings

_context = _cv_app.get
"""Settings and app are accessed about sixty times per request. Through ``current_app``, settings alone would take 3.5 %
of a session check (ADR 26)."""


class _SessionTableLoginManager(LoginManager):  # type: ignore[misc]
    """Flask-Login for users who are signed in through our session table, never through Flask's session."""

    def _load_user(self) -> None:
        """Ask our loader only: no fingerprint of address and browser, and no user in Flask's session or cookies."""
        g._login_user = self._request_callback(request) or self.anonymous_user()


login_manager = _SessionTableLoginManager()
mail = Mail()


def init_app(app: Flask, settings: Settings) -> None:
    """Store the settings and the key ring they define in ``app``."""
    app.extensions["latchkey.settings"] = settings
    app.extensions["latchkey.keyring"] = KeyRing(settings.key_texts)


def this_app() -> Flask:
    """Return the current app, for packages that otherwise don't depend on Flask."""
    return _context().app


class _AppExtensionProxy:
    """Proxy for an object stored in the current app's ``extensions``."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(_context().app.extensions[self._name], attribute)


def current_request() -> Request | None:
    """Return the current request, or None outside of one: in a worker or on the command line."""
    return request if has_request_context() else None


settings = cast("Settings", _AppExtensionProxy("latchkey.settings"))
keyring = cast("KeyRing", _AppExtensionProxy("latchkey.keyring"))


def execute_update(statement: UpdateBase, parameters: dict[str, Any] | None = None) -> int:
    """Run an UPDATE or DELETE in the current transaction, and return the number of rows that it changed.

    Objects that the ORM has already loaded are not updated.
    """
    result = db.session.execute(statement.execution_options(synchronize_session=False), parameters or {})
    return cast("CursorResult[Any]", result).rowcount
