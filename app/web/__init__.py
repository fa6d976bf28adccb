"""HTTP plumbing shared by all views: content negotiation, the per-request commit, forms and error pages.

Guarantees that no view has to check whether the client wants HTML or JSON, and that bad input is never a 500.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

STATIC_FILES_KEPT = timedelta(days=365)


def init_app(app: Flask) -> None:
    """Install the request hooks, cookie settings and error handlers that every view relies on."""
    from app.extensions import login_manager
    from app.web import access, cookies, csrf, errors, headers, pages, phone_numbers, sub_path
    from app.web.cookies import CookieRequest, FlashSessionInterface

    settings, keyring = app.extensions["latchkey.settings"], app.extensions["latchkey.keyring"]
    app.request_class = CookieRequest
    app.session_interface = FlashSessionInterface()
    app.config.update(
        SECRET_KEY=keyring.derive("flash").hex(),
        SECRET_KEY_FALLBACKS=[keyring.derive("flash", kid).hex() for kid in keyring.kids[1:]],
        SESSION_COOKIE_NAME=f"{settings.cookie_prefix}latchkey_flash",
        SESSION_COOKIE_SECURE=bool(settings.cookie_prefix),
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        MAX_CONTENT_LENGTH=settings.body_limit,
        MAX_FORM_MEMORY_SIZE=settings.body_limit,
        MAX_FORM_PARTS=100,
        PROPAGATE_EXCEPTIONS=False,
        SEND_FILE_MAX_AGE_DEFAULT=STATIC_FILES_KEPT,
    )
    sub_path.init_app(app)  # first: after_request runs in reverse order, so its hook runs last
    login_manager.init_app(app)
    app.before_request(headers.reject_unknown_host)
    app.before_request(access.reject_out_of_scope)
    app.after_request(headers.set_headers)
    app.after_request(cookies.set_browser_cookie)
    app.after_request(csrf.set_csrf_cookie)
    errors.init_app(app)
    pages.init_app(app)
    phone_numbers.init_app(app)
