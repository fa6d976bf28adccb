"""Webhooks: audit log events, posted to the operator's other programs (Standard Webhooks 1.0.0).

Guarantees that an event is posted if and only if what it reports was committed; that its body contains no address, code
or text from a stranger; that nothing in the operator's network is reached unless the operator names it; and that
recording an event takes no extra statement while no one subscribes to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.webhooks.queue import account_deleted, accounts_created

if TYPE_CHECKING:
    from flask import Flask

__all__ = ["account_deleted", "accounts_created"]


def init_app(app: Flask) -> None:
    """Listen to audit events, and register the deliverer, the sealed secrets, the cleanup jobs and the data export."""
    from app.audit import set_listener
    from app.authenticators.keys import register_sealed
    from app.db.export import register_export
    from app.db.retention import register_cleanups
    from app.outbox import register_deliverer
    from app.webhooks import cleanup, delivery, export, queue, signatures

    set_listener(app, queue.AuditListener())
    register_deliverer(app, delivery.Deliverer)
    register_sealed(app, *signatures.SEALED)
    register_cleanups(app, cleanup.prune_overdue, cleanup.prune_deliveries)
    register_cleanups(app, cleanup.prune_deliveries_to_deleted, cleanup.prune_deleted_endpoints)
    register_export(app, export.PARTS)
