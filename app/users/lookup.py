"""Find the account behind what was typed into the identity field."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

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
    """What was typed, read as the first configured kind that accepts it."""

    kind: str
    value: str


def read_identity(text: str) -> TypedIdentity | None:
    """Read ``text`` as one of the configured identity kinds, in their order; None if it is none of them."""
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
    """Read ``text`` as ``read_identity`` does. Only its form is checked, so an error reveals no account.

    :raises Rejected: ``identity_invalid`` on ``identity`` when it is none of the configured kinds
    """
    typed = read_identity(text)
    if typed is None:
        raise Rejected("identity_invalid", field="identity", kinds=kinds_in_words())
    return typed


def kinds_in_words() -> str:
    """Return what one can be found by here, within a sentence: "an email address or a phone number"."""
    return in_words(settings.identity_attributes)


def in_words(kinds: Iterable[str]) -> str:
    """Return kinds of identities within a sentence, as ``kinds_in_words`` does."""
    return any_of([gettext(_IN_WORDS[kind]) for kind in kinds])


def find_by_identity(typed: TypedIdentity | None) -> User | None:
    """Find the user whom ``typed`` names, by the unique index on (kind, value). One statement, always.

    An identity that cannot exist (None) is looked up, too, so that it costs the same.
    """
    kind, value = (typed.kind, typed.value) if typed else ("", "")
    return db.session.scalar(_BY_IDENTITY, {"kind": kind, "value": value})


def subject_of(user_id: int | None, identity: str) -> str:
    """Return the digest that stands for a user, or for an identity that nobody has."""
    text = f"user:{user_id}" if user_id is not None else f"nobody:{identity}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
