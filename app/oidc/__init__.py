"""OpenID Connect provider: apps that users sign in to with their account here, and what those apps may access.

Guarantees that the tokens of a session, except those with ``offline_access``, stop working as soon as the session ends,
that all tokens stop working as soon as the user may no longer use the app, and that users are never redirected to an
address the client has not registered.
"""

from __future__ import annotations

from flask import Blueprint, Flask

bp = Blueprint("oidc", __name__)


def init_app(app: Flask) -> None:
    """Register this package's URLs, jobs and hooks."""
    from app.authenticators.keys import register_sealed
    from app.db.export import register_export
    from app.groups.service import register_membership_end_hook
    from app.oidc import (
        authorize_views,
        cleanup,
        client_documents,
        client_ends,
        client_file,
        emails,
        errors,
        export,
        grant_ends,
        keys,
        presenters,
        subjects,
    )
    from app.outbox import register_prompt_job, register_renderers
    from app.sessions.end_hooks import register_revocation_hook, register_session_end_hook
    from app.web.destinations import register_destination

    _import_views()
    client_file.load(app)
    register_destination(app, authorize_views.CONTINUE, presenters.destination_of_request)
    cleanup.init_app(app)
    register_sealed(app, subjects.SEALED)
    keys.init_app(app)
    register_renderers(app, grant_ends.RENDERERS, reads=grant_ends.read)
    register_prompt_job(app, client_documents.fetch_due)
    register_prompt_job(app, client_ends.end_due)
    register_renderers(app, emails.RENDERERS, reads=emails.READS)
    register_session_end_hook(app, grant_ends.end_grants)
    register_revocation_hook(app, grant_ends.revoke_offline_grants)
    register_membership_end_hook(app, grant_ends.end_lost_grants_of_users)
    register_export(app, export.PARTS, export.EXCLUDED)
    errors.init_app(app)
    app.register_blueprint(bp)


def _import_views() -> None:
    """Import the views, which register themselves on the blueprint."""
    from app.oidc import (  # noqa: F401
        apps_views,
        authorize_views,
        device_views,
        discovery_views,
        logout_views,
        registration_views,
        token_views,
        userinfo_views,
    )
