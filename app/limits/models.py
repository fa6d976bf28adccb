"""Penalty: a network address that may ask nothing for a while."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import db


class Penalty(db.Model):
    """A network address from which something was asked that its owner denied."""

    __tablename__ = "penalty"

    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    """The address, or the /64 of an IPv6 one."""
    until: Mapped[datetime] = mapped_column(index=True)
