"""The migrations of this release, and Flask-Migrate to run them.

Flask-Migrate brings Alembic, a tenth of all that a process would load. What serves needs neither: it compares the
revision of its tables with the names of the files.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.db.columns import db

if TYPE_CHECKING:
    from flask import Flask

DIRECTORY = Path(__file__).parents[2] / "migrations"


def revisions() -> list[str]:
    """Return the revisions of this release, oldest first: one chain, and each file's name begins with its own."""
    return sorted(path.name.partition("_")[0] for path in (DIRECTORY / "versions").glob("[0-9]*_*.py"))


def bound_to(app: Flask) -> Any:
    """Return Flask-Migrate, bound to ``app`` now if it was not yet; its commands are then ``flask db``."""
    from flask_migrate import Migrate

    if "migrate" not in app.extensions:
        Migrate(app, db, directory=str(DIRECTORY), render_as_batch=True, compare_type=True)
    return app.extensions["migrate"].migrate


def upgrade(app: Flask) -> None:
    """Run the migrations that the tables lack, in the context of ``app``."""
    from flask_migrate import upgrade

    bound_to(app)
    upgrade()
