"""Sign-in methods: TOTP apps, passwords, passkeys, recovery codes, and codes sent by email or SMS.

Guarantees that each code or signature is accepted only once, and that secrets can be read only with the master key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask


def init_app(app: Flask) -> None:
    """Register the authenticators, their cleanup and periodic task, their encrypted columns and their exports."""
    from app.authenticators import export, keys
    from app.authenticators.registry import register_authenticators
    from app.authenticators.webauthn.challenges import prune_webauthn_challenges
    from app.db.export import register_export
    from app.db.retention import register_cleanups
    from app.outbox import register_periodic_task

    register_authenticators(app)
    register_cleanups(app, prune_webauthn_challenges)
    register_export(app, export.PARTS, export.EXCLUDED)
    register_periodic_task(app, keys.announce)
    keys.register_sealed(app, *keys.OWN)
