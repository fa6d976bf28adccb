"""Data export: the account and its identities."""

from __future__ import annotations

from app.db.export import ExportPart
from app.users.models import AddressChange, Administrator, Identity, User

PARTS = (
    ExportPart(
        "account",
        "The account itself: when it was opened and first confirmed, and whether it is switched off.",
        owner=User.id,
        newest_by=[User.id],
        columns={
            "id": User.handle,
            "name": User.name,
            "language": User.language,
            "opened_at": User.created_at,
            "confirmed_at": User.confirmed_at,
            "disabled_at": User.disabled_at,
        },
    ),
    ExportPart(
        "identities",
        "The addresses, numbers and names by which the account is found.",
        owner=Identity.user_id,
        newest_by=[Identity.id],
        columns={
            "kind": Identity.kind,
            "value": Identity.value,
            "primary": Identity.is_primary,
            "added_at": Identity.created_at,
            "confirmed_at": Identity.confirmed_at,
        },
    ),
    ExportPart(
        "address_changes",
        "What was done to the addresses lately, kept for as long as it can be undone.",
        owner=AddressChange.user_id,
        newest_by=[AddressChange.created_at],
        columns={
            "old": AddressChange.old,
            "new": AddressChange.new,
            "primary_before": AddressChange.primary_before,
            "browser": AddressChange.agent,
            "network_address": AddressChange.address,
            "changed_at": AddressChange.created_at,
            "undone_at": AddressChange.undone_at,
        },
    ),
    ExportPart(
        "administrator",
        "Whether the account may use the administrators' console, and since when.",
        owner=Administrator.user_id,
        newest_by=[Administrator.since],
        columns={"since": Administrator.since},
    ),
)
