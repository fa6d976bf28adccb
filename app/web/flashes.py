"""What one page tells the next, in a signed cookie: the only thing that Flask's own session is used for here."""

from __future__ import annotations

from flask import Flask, Request, Response
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin


class FlashSessionInterface(SecureCookieSessionInterface):
    """Flask's signed cookie, made and read only where something is in it: most requests are spared the work."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Return what the cookie holds; an empty one without looking further where there is none."""
        if app.config["SESSION_COOKIE_NAME"] not in request.cookies:
            return self.session_class()
        return super().open_session(app, request)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Set or remove the cookie if something has changed. Every answer of ours varies by cookie anyway."""
        if session.modified:
            super().save_session(app, session, response)
