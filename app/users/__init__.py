"""Who has an account, and by which identities they are found.

Promises that one identity finds one user, in one statement, whatever way it was typed.
"""

from app.users.accounts import (
    add_identity,
    all_identities_of,
    confirm,
    create_user,
    drop_identity,
    emails_of,
    hold,
    identities_of,
)
from app.users.finding import TypedIdentity, find_by_identity, read_identity, subject_of
from app.users.models import Identity, User

__all__ = [
    "Identity",
    "TypedIdentity",
    "User",
    "add_identity",
    "all_identities_of",
    "confirm",
    "create_user",
    "drop_identity",
    "emails_of",
    "find_by_identity",
    "hold",
    "identities_of",
    "read_identity",
    "subject_of",
]
