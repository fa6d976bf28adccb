"""Find the account for the text in an identity field."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from app.crypto.secrets import digest
from app.errors import Rejected
from app.extensions import db, settings
from app.i18n import N_, any_of, gettext
from app.users import identifiers
from app.users.models import Identity, User

_BY_IDENTITY = (
    sa.select(User)
    .join(Identity, Identity.user_id == User.id)
    .where(Identity.kind == sa.bindparam("kind"), Identity.value == sa.bindparam("value"))
)


_IN_WORDS = {"email": N_("an email address"), "phone": N_("a phone number"), "username": N_("a username")}


@dataclass(frozen=True, slots=True)
class TypedIdentity:
    """The typed text, parsed as the first configured kind that accepts it."""

    kind: str
    value: str


def read_identity(text: str) -> TypedIdentity | None:
    """Parse ``text`` as one of the configured identity kinds, in order; return None if it matches none."""
    readers = {
        "email": identifiers.email,
        "phone": lambda typed: identifiers.phone(typed, settings.phone_region_default),
        "username": identifiers.username,
    }
    for kind in settings.identity_attributes:
        try:
            return TypedIdentity(kind, readers[kind](text))
        except identifiers.InvalidIdentifier:
            continue
    return None


def get_identity(text: str) -> TypedIdentity:
    """Parse ``text`` like ``read_identity``. Only the format is checked, so an error doesn't reveal any account.

    :raises Rejected: ``identity_invalid`` on ``identity`` if it matches none of the configured kinds
    """
    typed = read_identity(text)
    if typed is None:
        raise Rejected("identity_invalid", field="identity", kinds=kinds_in_words())
    return typed


def kinds_in_words() -> str:
    """Return the configured kinds as part of a sentence: "an email address or a phone number"."""
    return in_words(settings.identity_attributes)


def in_words(kinds: Iterable[str]) -> str:
    """Return identity kinds as part of a sentence, like ``kinds_in_words``."""
    return any_of([gettext(_IN_WORDS[kind]) for kind in kinds])


def find_by_identity(typed: TypedIdentity | None) -> User | None:
    """Return the user with this identity, using the unique index on (kind, value). Always one SQL statement.

    An invalid identity (None) is looked up, too, so that the timing is the same.
    """
    kind, value = (typed.kind, typed.value) if typed else ("", "")
    return db.session.scalar(_BY_IDENTITY, {"kind": kind, "value": value})


def subject_of(user_id: int | None, identity: str) -> str:
    """Return a digest that identifies a user, or an identity that no account has."""
    text = f"user:{user_id}" if user_id is not None else f"nobody:{identity}"
    return digest(text)
