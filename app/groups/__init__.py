"""Groups of accounts, which decide who may use which app.

Guarantees that an account is only in a group after an operator put it there, and that each change records an event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask


def init_app(app: Flask) -> None:
    """Register the data export."""
    from app.db.export import register_export
    from app.groups import export

    register_export(app, export.PARTS)
