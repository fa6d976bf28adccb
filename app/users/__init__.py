"""Who has an account, and by which identities they are found.

Promises that one identity finds one user, in one statement, whatever way it was typed.
"""

from app.users.accounts import (
    add_identity,
    all_identities_of,
    confirm,
    create_user,
    drop_identity,
    drop_value,
    emails_of,
    free_unproved,
    hold,
    identities_of,
    is_proved,
    make_primary,
    primary_email,
)
from app.users.finding import (
    TypedIdentity,
    find_by_identity,
    get_identity,
    kinds_in_words,
    read_identity,
    subject_of,
)
from app.users.models import AddressChange, Identity, User

__all__ = [
    "AddressChange",
    "Identity",
    "TypedIdentity",
    "User",
    "add_identity",
    "all_identities_of",
    "confirm",
    "create_user",
    "drop_identity",
    "drop_value",
    "emails_of",
    "find_by_identity",
    "free_unproved",
    "get_identity",
    "hold",
    "identities_of",
    "is_proved",
    "kinds_in_words",
    "make_primary",
    "primary_email",
    "read_identity",
    "subject_of",
]
