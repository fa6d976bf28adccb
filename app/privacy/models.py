"""Export and ExportChunk: a requested archive. Deletion: an account that will be erased."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.crypto import secrets
from app.crypto.signed_tokens import SignedToken
from app.extensions import db, keyring, settings

WAITING = "waiting"
MAKING = "making"
READY = "ready"
FAILED = "failed"
GONE = "gone"
UNDER_WAY = (WAITING, MAKING)

UNDELETE = SignedToken("undelete")  # valid until the account is erased; its ID is the account's handle
UNDO_PATH = "/my-data/undo/"


class Export(db.Model):
    """A requested export. A worker builds it; its archive is stored in encrypted chunks."""

    __tablename__ = "export"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True, default=secrets.row_id)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)
    state: Mapped[str] = mapped_column(sa.String(8))
    asked_at: Mapped[datetime] = mapped_column(index=True)
    attempts: Mapped[int] = mapped_column(default=0)
    """Number of times a worker has started it. Only the chunks of the last attempt make up the archive."""
    due_at: Mapped[datetime | None] = mapped_column(index=True)
    """When a worker can start it: immediately, or when another worker's lease expires. NULL once ready or failed."""
    ready_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None] = mapped_column(index=True)
    size: Mapped[int] = mapped_column(default=0)
    """Size of the archive in bytes."""
    chunks: Mapped[int] = mapped_column(default=0)

    def can_be_fetched(self, now: datetime) -> bool:
        """Return whether its archive is ready and hasn't expired."""
        return self.state == READY and self.expires_at is not None and now < self.expires_at


class ExportChunk(db.Model):
    """A piece of an archive, with its position bound into the encryption."""

    __tablename__ = "export_chunk"

    export_id: Mapped[str] = mapped_column(
        sa.String(32), sa.ForeignKey("export.id", ondelete="CASCADE"), primary_key=True
    )
    attempt: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sealed: Mapped[str] = mapped_column(sa.Text)


class Deletion(db.Model):
    """An account that will be erased. Canceling deletes this row; a worker claims the row to erase the account."""

    __tablename__ = "deletion"

    user_id: Mapped[int] = mapped_column(
        sa.ForeignKey("user.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    asked_at: Mapped[datetime]
    deletes_at: Mapped[datetime]
    """Same as ``User.deletes_at``, in whole seconds, because the link that cancels it includes this time."""
    remind_at: Mapped[datetime | None] = mapped_column(index=True)
    """When the owner gets a reminder; NULL once it was sent, or if the wait is too short for one."""
    due_at: Mapped[datetime] = mapped_column(index=True)
    """When a worker can start: at ``deletes_at``, or when another worker's lease expires."""
    pseudonym: Mapped[int | None]
    """Replaces the user ID in events; negative. Set when a worker claims the row; then it can't be undone."""


def undo_link(handle: str, deletes_at: datetime) -> str:
    """Return the URL that cancels a deletion. Deterministic, so it is the same every time.

    It becomes invalid once the deletion is canceled, even if another one was requested since.
    :param handle: the account's opaque ID
    :param deletes_at: when the account would be erased, to the second
    """
    return settings.public_url + UNDO_PATH + UNDELETE.sign(keyring, settings.public_url, handle, deletes_at)


def open_undo(token: str) -> tuple[str, datetime] | None:
    """Return the handle and time in ``token``, or None if it isn't ours. Callers must check if it is too late."""
    claims = UNDELETE.verify(keyring, settings.public_url, token)
    return None if claims is None else (claims.id, datetime.fromtimestamp(claims.expiry, UTC))
