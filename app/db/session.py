"""The Flask-SQLAlchemy extension: one session of the database for each application context."""

from __future__ import annotations

from flask_sqlalchemy import SQLAlchemy

from app.db.columns import Base

db = SQLAlchemy(model_class=Base, session_options={"autoflush": False, "expire_on_commit": False})
