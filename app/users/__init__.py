"""Accounts, and the identities that resolve to them.

Guarantees that an identity resolves to a single user, in one SQL statement, however it was typed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.users.accounts import (
    add_identity,
    all_identities_of,
    confirm,
    create_user,
    emails_of,
    identities_of,
    is_verified,
    lock_account,
    make_primary,
    primary_email,
    release_unverified,
    remove_identities,
    remove_identity,
    set_name,
)
from app.users.lookup import TypedIdentity, find_by_identity, get_identity, kinds_in_words, read_identity, subject_of
from app.users.models import AddressChange, Identity, User

if TYPE_CHECKING:
    from flask import Flask

__all__ = [
    "AddressChange",
    "Identity",
    "TypedIdentity",
    "User",
    "add_identity",
    "all_identities_of",
    "confirm",
    "create_user",
    "emails_of",
    "find_by_identity",
    "get_identity",
    "identities_of",
    "is_verified",
    "kinds_in_words",
    "lock_account",
    "make_primary",
    "primary_email",
    "read_identity",
    "release_unverified",
    "remove_identities",
    "remove_identity",
    "set_name",
    "subject_of",
]


def init_app(app: Flask) -> None:
    """Register the cleanup jobs and the parts of the data export."""
    from app.db.export import register_export
    from app.db.retention import register_cleanups
    from app.users import accounts, export, registration

    registration.init_app(app)
    register_cleanups(app, accounts.prune_changes)
    register_export(app, export.PARTS)
