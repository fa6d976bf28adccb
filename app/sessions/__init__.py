"""Sessions: create, look up, refresh and revoke them. API tokens, refresh tokens, known and trusted devices.

Guarantees that a revoked session is rejected from the next request on, and that no token is stored in plain text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask


def init_app(app: Flask) -> None:
    """Set the session cookie after each request; register cleanups for the worker and the contents of an export."""
    from app.db.export import register_export
    from app.db.retention import register_cleanups
    from app.sessions import cleanup, export, store

    app.after_request(store.set_session_cookie)
    register_cleanups(
        app,
        cleanup.prune_sessions,
        cleanup.prune_pending_sign_ins,
        cleanup.prune_api_tokens,
        cleanup.prune_refresh_tokens,
        cleanup.prune_unused_refresh_tokens,
        cleanup.prune_known_devices,
    )
    register_export(app, export.PARTS, export.EXCLUDED)
