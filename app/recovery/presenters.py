"""Recoveries as pages and JSON show them."""

from __future__ import annotations

from typing import Any

from flask_login import current_user

from app import user_agents
from app.recovery import requests
from app.recovery.models import Recovery
from app.recovery.service import RecoveryStatus


def open_recovery() -> dict[str, Any] | None:
    """Return the open recovery of whoever is signed in, for every account page to show. One statement."""
    if not current_user.is_authenticated:
        return None
    recovery = requests.open_of(current_user.id)
    return told(recovery) if recovery is not None else None


def told(recovery: Recovery) -> dict[str, Any]:
    """Return when a recovery was asked for, by whom, and when it can be completed, and until when."""
    return {
        "requested_at": recovery.requested_at,
        "ready_at": recovery.ready_at,
        "expires_at": recovery.expires_at,
        "browser": user_agents.label(recovery.agent),
        "address": recovery.address,
    }


def standing_facts(standing: RecoveryStatus) -> dict[str, Any]:
    """Return how the account stands, for somebody who has proved its mailbox."""
    return {
        "state": standing.state,
        "proof": standing.proof,
        "methods": standing.methods,
        "recovery_codes_left": standing.codes_left,
        "recovery": told(standing.recovery) if standing.recovery else None,
    }
