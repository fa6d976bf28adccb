"""The extensions, created unbound; create_app binds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from flask import Flask, current_app
from flask.globals import app_ctx
from flask_login import LoginManager
from flask_mail import Mail
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy

from app.database import Base

if TYPE_CHECKING:
    from sqlalchemy import CursorResult
    from sqlalchemy.sql.dml import UpdateBase

    from app.kit.sealing import KeyRing
    from config.settings import Settings

db = SQLAlchemy(model_class=Base, session_options={"autoflush": False, "expire_on_commit": False})
login_manager = LoginManager()
mail = Mail()
migrate = Migrate()


def this_app() -> Flask:
    """Return the app that is running, for rooms that know nothing else of Flask."""
    return cast("Flask", current_app._get_current_object())  # type: ignore[attr-defined]


_context = app_ctx._get_current_object  # type: ignore[attr-defined]


class _OfThisApp:
    """Stands for something that ``create_app`` keeps with the app: a LocalProxy that costs a third of one."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(_context().app.extensions[self._name], attribute)


settings = cast("Settings", _OfThisApp("latchkey.settings"))
keyring = cast("KeyRing", _OfThisApp("latchkey.keyring"))


def changed(statement: UpdateBase, parameters: dict[str, Any] | None = None) -> int:
    """Run an UPDATE or DELETE in this transaction and return how many rows it changed."""
    done = db.session.execute(statement.execution_options(synchronize_session=False), parameters or {})
    return cast("CursorResult[Any]", done).rowcount
