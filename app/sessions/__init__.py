"""Sessions: created, found, refreshed and revoked; API tokens, refresh tokens, known and trusted devices.

Promises that a revoked session is dead at the next request and that its token is nowhere at rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask


def init_app(app: Flask) -> None:
    """Set the session cookie after each request; register what the worker deletes and what an export holds."""
    from app.db.export import register_export
    from app.db.retention import register_cleanups
    from app.sessions import cleanup, export, store

    app.after_request(store.set_session_cookie)
    register_cleanups(
        app,
        cleanup.prune_sessions,
        cleanup.prune_pending,
        cleanup.prune_personal_tokens,
        cleanup.prune_refresh_tokens,
        cleanup.prune_unused_refresh_tokens,
        cleanup.prune_standings,
        cleanup.prune_nobodys_standings,
        cleanup.prune_old_standings,
    )
    register_export(app, export.PARTS, export.EXCLUDED)
