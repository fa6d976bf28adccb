"""Invalidate rows of a restored backup that may have changed since it was made (ADR 57).

Otherwise codes used, sessions ended, invitations revoked and recoveries refused since the backup would be valid again,
and messages sent long ago would be sent again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app.admin.models import AdminLink, AdminVisit
from app.authenticators.models import KeyAnnouncement, WebauthnChallenge
from app.challenges.models import Challenge
from app.extensions import settings
from app.forward_auth.models import AppSession, EntryTicket
from app.invitations.models import Invitation
from app.oidc.models import AccessToken, DeviceRequest, Grant
from app.outbox.models import ABANDONED, Lease, Message, ProviderHealth
from app.privacy.models import Deletion
from app.recovery.models import Recovery
from app.sessions.models import ApiToken, AuthSession, KnownDevice, PendingSignIn, RefreshToken
from app.signin.models import SentLink
from app.webhooks.models import WebhookDelivery

RESTORED = "restored from a backup"


def invalidate_open_rows(connection: sa.Connection, now: datetime, *, keep_sessions: bool) -> dict[str, int]:
    """Invalidate open rows in a restored database; return counts by kind.

    :param keep_sessions: keep sessions, everything that depends on them, and invitations as they were in the backup
    """
    delete_process_records(connection)
    done = {"messages": _stop_messages(connection, Message) + _stop_messages(connection, WebhookDelivery)}
    _end_pending_requests(connection, now)
    done["recoveries"] = _close_open(connection, Recovery, ("cancelled_at", "done_at"), cancelled_at=now)
    done["deletions"] = _postpone_deletions(connection, now + settings.delete_wait)
    if not keep_sessions:
        done["invitations"] = _close_open(connection, Invitation, ("revoked_at",), revoked_at=now)
        done["sessions"] = _end_sessions(connection, now)
    return done


def delete_process_records(connection: sa.Connection) -> None:
    """Delete what our processes recorded about themselves. The new database will be used by other processes."""
    for model in (KeyAnnouncement, Lease, ProviderHealth):
        connection.execute(sa.delete(model))


def _stop_messages(connection: sa.Connection, model: Any) -> int:
    """Cancel delivery of waiting messages. ``flask outbox retry`` and ``flask webhooks retry`` can still send them."""
    stopped = {"state": ABANDONED, "next_attempt_at": None, "last_error": RESTORED}
    waiting = sa.update(model).where(model.next_attempt_at.is_not(None)).values(stopped)
    return connection.execute(waiting).rowcount


def _end_pending_requests(connection: sa.Connection, now: datetime) -> None:
    """End codes, links and incomplete sign-ins, since any of them may have been used after the backup."""
    _close_open(connection, Challenge, ("spent_at",), spent_at=now)
    _close_open(connection, PendingSignIn, ("ended_at",), ended_at=now)
    _close_open(connection, WebauthnChallenge, ("spent_at",), spent_at=now)
    _close_open(connection, SentLink, ("used_at",), used_at=now)
    _close_open(connection, Grant, ("code_used_at",), code_used_at=now)
    for model in (EntryTicket, DeviceRequest, AdminLink, AdminVisit):
        connection.execute(sa.delete(model))


def _postpone_deletions(connection: sa.Connection, until: datetime) -> int:
    """Postpone deletions to ``until``, as owners may have kept their accounts since. The link to do so stays valid."""
    early = (Deletion.pseudonym.is_(None), Deletion.due_at < until)
    return connection.execute(sa.update(Deletion).where(*early).values(due_at=until)).rowcount


def _end_sessions(connection: sa.Connection, now: datetime) -> int:
    """End sessions of people, API clients and apps, and revoke API tokens and trust in devices."""
    ended = _close_open(connection, AuthSession, ("revoked_at",), revoked_at=now, expires_at=now, untold=False)
    _close_open(connection, ApiToken, ("revoked_at",), revoked_at=now)
    _close_open(connection, Grant, ("revoked_at",), revoked_at=now, ended_at=now)
    for model in (RefreshToken, AccessToken, AppSession):
        connection.execute(sa.delete(model))
    trusted = sa.update(KnownDevice.__table__).where(KnownDevice.trusted_until.is_not(None))
    connection.execute(trusted.values(trusted_until=None))
    return ended


def _close_open(connection: sa.Connection, model: Any, open_: tuple[str, ...], **values: Any) -> int:
    """Update the rows of ``model`` in which all columns of ``open_`` are NULL; return how many."""
    table = model.__table__
    is_open = [getattr(model, name).is_(None) for name in open_]
    return connection.execute(sa.update(table).where(*is_open).values(values)).rowcount
