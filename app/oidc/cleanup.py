"""Cleanup jobs for apps: delete expired requests, codes, tokens and proofs, and end access that users have lost."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from app import clock
from app.db.retention import delete_batch, register_cleanups
from app.extensions import db
from app.oidc import client_documents, client_ends, grant_ends
from app.oidc.models import (
    AccessToken,
    AuthorizationRequest,
    DeviceRequest,
    Grant,
    RegistrationToken,
    UsedProof,
)

if TYPE_CHECKING:
    from flask import Flask

RETENTION = timedelta(days=1)
"""Retention after expiry, so that an expired code or token can be told apart from one that never existed."""


def init_app(app: Flask) -> None:
    """Register the worker's cleanup jobs."""
    register_cleanups(
        app,
        prune_requests,
        prune_devices,
        prune_access_tokens,
        prune_grants,
        prune_used_proofs,
        prune_registration_tokens,
        client_documents.prune_unused_apps,
        client_documents.prune_documents,
        grant_ends.prune_lost_access,
        client_ends.prune_unusable_clients,
        client_ends.prune_file_clients,
    )


def prune_requests() -> int:
    """Delete a batch of expired authorization requests; return how many."""
    return delete_batch(db.session, AuthorizationRequest, AuthorizationRequest.expires_at < clock.now())


def prune_devices() -> int:
    """Delete a batch of expired device requests; return how many."""
    return delete_batch(db.session, DeviceRequest, DeviceRequest.expires_at < clock.now() - RETENTION)


def prune_access_tokens() -> int:
    """Delete a batch of expired access tokens; return how many."""
    return delete_batch(db.session, AccessToken, AccessToken.expires_at < clock.now())


def prune_grants() -> int:
    """Delete a batch of grants that have no valid tokens left; return how many."""
    return delete_batch(db.session, Grant, Grant.expires_at < clock.now() - RETENTION)


def prune_used_proofs() -> int:
    """Delete a batch of used proofs that have expired, so a replay would fail anyway; return how many."""
    return delete_batch(db.session, UsedProof, UsedProof.expires_at < clock.now())


def prune_registration_tokens() -> int:
    """Delete a batch of expired initial access tokens; return how many."""
    return delete_batch(db.session, RegistrationToken, RegistrationToken.expires_at < clock.now() - RETENTION)
