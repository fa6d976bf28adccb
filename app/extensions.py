"""The extensions, created unbound; create_app binds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from flask import Flask, has_request_context, request
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
"""Settings and app are asked for some sixty times a request; by ``current_app`` settings alone are 3.5 % of a session
check (ADR 26)."""


class _Logins(LoginManager):  # type: ignore[misc]
    """Flask-Login for people who are signed in by a row of ours, never by Flask's session."""

    def _session_protection_failed(self) -> bool:
        """Say no, and make no fingerprint of address and browser: the cookie of ours is bound to neither."""
        return False


login_manager = _Logins()
mail = Mail()


def init_app(app: Flask, settings: Settings) -> None:
    """Keep the settings and the keys that they name with ``app``."""
    app.extensions["latchkey.settings"] = settings
    app.extensions["latchkey.keyring"] = KeyRing(settings.key_texts)


def this_app() -> Flask:
    """Return the app that is running, for packages that know nothing else of Flask."""
    return _context().app


class _OfThisApp:
    """Stands for something that ``create_app`` keeps with the app."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(_context().app.extensions[self._name], attribute)


def current_request() -> Request | None:
    """Return the request that is being answered, or None outside one: in a worker, or on the command line."""
    return request if has_request_context() else None


settings = cast("Settings", _OfThisApp("latchkey.settings"))
keyring = cast("KeyRing", _OfThisApp("latchkey.keyring"))


def changed(statement: UpdateBase, parameters: dict[str, Any] | None = None) -> int:
    """Run an UPDATE or DELETE in this transaction and return how many rows it changed."""
    done = db.session.execute(statement.execution_options(synchronize_session=False), parameters or {})
    return cast("CursorResult[Any]", done).rowcount
