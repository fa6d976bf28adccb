"""The migrations of this release, and Flask-Migrate to run them.

Flask-Migrate imports Alembic, a tenth of everything a process would load. Serving needs neither: it compares the
revision of the tables with the migrations' file names.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.db.columns import db

if TYPE_CHECKING:
    from flask import Flask

DIRECTORY = Path(__file__).parents[2] / "migrations"


def revisions() -> list[str]:
    """Return the revisions of this release, oldest first. They form one chain, and file names start with them."""
    return sorted(path.name.partition("_")[0] for path in (DIRECTORY / "versions").glob("[0-9]*_*.py"))


def bound_to(app: Flask) -> Any:
    """Return Flask-Migrate, binding it to ``app`` if necessary. That adds its commands to ``flask db``."""
    from flask_migrate import Migrate

    if "migrate" not in app.extensions:
        Migrate(app, db, directory=str(DIRECTORY), render_as_batch=True, compare_type=True)
    return app.extensions["migrate"].migrate


def upgrade(app: Flask) -> None:
    """Run pending migrations. Needs the app context of ``app``."""
    from flask_migrate import upgrade

    bound_to(app)
    upgrade()
