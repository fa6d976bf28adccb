"""How the app is put together; knows every room, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flask import Flask
from sqlalchemy.orm import configure_mappers

from app import account, identities, observability, outbox, privacy, recovery, register, setup, signin, status
from app.audit import cleanup as event_pruning
from app.audit import export as events_given
from app.authenticators import cleanup as challenge_pruning
from app.authenticators import export as methods_given
from app.authenticators import key_announcements
from app.crypto.encryption import KeyRing
from app.db import attach, engine_options, engine_url
from app.extensions import db, login_manager, mail, migrate
from app.notifications import challenge_emails, new_device
from app.outbox import export as messages_given
from app.privacy import cleanup as export_pruning
from app.privacy import emails as export_letters
from app.privacy import erasure, export_job, reminders
from app.privacy import export as exports_given
from app.recovery import emails as recovery_telling
from app.recovery import export as recoveries_given
from app.recovery import requests
from app.sessions import cleanup as session_pruning
from app.sessions import export as sessions_given
from app.sessions import store as session_store
from app.users import export as accounts_given
from app.users import identity_changes as address_changes
from app.web import browser_cookie, csrf_cookie, errors, headers, hosts, pages, scopes
from app.web.cookies import CookieRequest
from app.web.flashes import FlashSessionInterface

if TYPE_CHECKING:
    from config.settings import Settings

REGISTERED = (
    key_announcements,
    challenge_emails,
    challenge_pruning,
    session_pruning,
    event_pruning,
    new_device,
    address_changes,
)
"""Named so that they register what the worker calls: renderers of letters, pruners of tables, feeders."""

GIVEN = (accounts_given, methods_given, sessions_given, events_given, messages_given, exports_given, recoveries_given)
"""Named so that they register what an export holds, in this order."""

EXPORTING = (export_job, export_letters, export_pruning, erasure, reminders)
"""Named so that exports are made, told of and forgotten, and accounts erased."""


RECOVERING = (recovery_telling, requests)
"""Named so that recoveries are told of, reminded of and forgotten."""


class Latchkey(Flask):
    """Flask as we use it."""

    request_class = CookieRequest
    session_interface = FlashSessionInterface()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``func``: none of ours is a coroutine, and Flask would look at nine of them in every request."""
        return func


STATIC_FOR = timedelta(days=365)


def configure(app: Flask, settings: Settings) -> None:
    """Turn our settings into those of Flask and its extensions."""
    prefix = settings.cookie_prefix
    keyring = KeyRing(settings.key_texts)
    app.extensions["latchkey.settings"] = settings
    app.extensions["latchkey.keyring"] = keyring
    timeout = settings.statement_timeout.total_seconds()
    app.config.update(
        SECRET_KEY=keyring.derive("flash").hex(),
        SECRET_KEY_FALLBACKS=[keyring.derive("flash", kid).hex() for kid in keyring.kids[1:]],
        SESSION_COOKIE_NAME=f"{prefix}latchkey_flash",
        SESSION_COOKIE_SECURE=bool(prefix),
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        REMEMBER_COOKIE_NAME="latchkey-unused",
        SQLALCHEMY_DATABASE_URI=engine_url(settings.database_url),
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(
            settings.database_url,
            timeout=timeout,
            pool_size=settings.pool_size,
            pooled=settings.database_pooler == "transaction",
        ),
        MAX_CONTENT_LENGTH=settings.body_limit,
        MAX_FORM_MEMORY_SIZE=settings.body_limit,
        MAX_FORM_PARTS=100,
        PROPAGATE_EXCEPTIONS=False,
        SEND_FILE_MAX_AGE_DEFAULT=STATIC_FOR,
        **outbox.mail_config(settings),
    )
    observability.configure_logging(settings.log_level, settings.log_format)


def bind_extensions(app: Flask) -> None:
    """Bind the extensions to ``app``."""
    db.init_app(app)
    login_manager.init_app(app)
    mail.init_app(app)
    migrate.init_app(app, db, directory="migrations", render_as_batch=True, compare_type=True)
    configure_mappers()  # here and not with the first query: rows read past the ORM become objects of models, too
    with app.app_context():
        attach(db.engine, timeout=app.extensions["latchkey.settings"].statement_timeout.total_seconds())


def guard_requests(app: Flask) -> None:
    """Put around every request what no view should have to think of.

    Flask runs ``after_request`` functions last registered first: the log line is written when all is set.
    """
    observability.init_app(app)
    app.before_request(hosts.refuse_foreign_host)
    app.before_request(scopes.refuse_out_of_scope)
    app.after_request(headers.set_headers)
    app.after_request(browser_cookie.set_browser_cookie)
    app.after_request(csrf_cookie.set_csrf_cookie)
    app.after_request(session_store.set_session_cookie)
    errors.init_app(app)
    pages.init_app(app)


def serve_journeys(app: Flask) -> None:
    """Serve every journey's addresses."""
    for journey in (signin, register, setup, account, identities, privacy, recovery, status):
        journey.init_app(app)
    if not app.extensions["latchkey.settings"].is_production:
        from app import dev_inbox

        dev_inbox.init_app(app)


def add_commands(app: Flask) -> None:
    """Add the operator's commands."""
    from app import cli
    from app.outbox.cli import outbox as outbox_group
    from app.outbox.cli import run_worker
    from app.serving import serve_command

    for command in (*cli.GROUPS, outbox_group, run_worker, serve_command):
        app.cli.add_command(command)
