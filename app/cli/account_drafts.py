"""Accounts as described by operators: parsed and validated, but not stored.

An error names the problem and the fix. Exports of other products are recognized.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from app.authenticators import imported_hashes
from app.authenticators.registry import configurable_methods
from app.authenticators.totp import MAX_APPS
from app.cli import otpauth
from app.enrollments.methods import method_of
from app.extensions import settings
from app.groups.service import NAME_RULE, is_name
from app.users import TypedIdentity, identifiers, names

TEXTS = ("email", "phone", "username", "name", "password", "password_hash")
FLAGS = ("disabled", "confirmed", "password_hmac")
LISTS = ("methods", "groups", "more_emails", "authenticator", "second_factor")
MAX_EMAILS = 10
"""Maximum number of email addresses per account."""

EXPORTS = {
    "Auth0": {"user_id", "identities"},
    "Django": {"model", "pk"},
    "Firebase": {"localId"},
    "Flask-Security": {"fs_uniquifier"},
    "Keycloak": {"credentials", "realmRoles"},
    "Kratos": {"traits", "schema_id"},
    "Supabase": {"encrypted_password"},
}
"""Fields that identify an account of each product's export, and never occur together in our format."""

WHOLE = {"Keycloak": {"realm", "users"}, "Firebase": {"users"}}
"""Fields that identify a file that is a single object containing all accounts."""

HASHES = (
    ("bcrypt of a faulty PHP", r"\$2x\$"),
    ("bcrypt of before 1998", r"\$2\$"),
    ("SHA-2 crypt", r"\$[56]\$"),
    ("MD5 crypt", r"\$(1|apr1)\$"),
    ("scrypt crypt", r"\$7\$"),
    ("a salted digest, which is guessed fast", r"(md5|sha1)\$"),
    ("a plain digest", r"([0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{64}|[0-9a-fA-F]{128})\Z"),
    ("Django's mark for no password", r"!"),
)
"""Unsupported password hashes, by their prefix."""


class NotUsable(ValueError):
    """A description that no account can be created from. The message gives the reason and never contains a secret."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An account to be created.

    :ivar identities: canonical, without duplicates, at least one; the first of each kind is the primary one
    :ivar methods: names of methods, each of which works with the data given here
    :ivar groups: valid group names; the groups may not exist
    :ivar authenticators: secrets in base32, without duplicates
    :ivar seconds: those of ``methods`` that are required as a second factor
    :ivar name: name of its owner, or ""
    :ivar password: in plaintext, or ""
    :ivar password_hash: hash from another service instead, as stored by ``imported_hashes``, or ""
    """

    identities: tuple[TypedIdentity, ...]
    methods: tuple[str, ...]
    confirmed: bool
    disabled: bool
    name: str = ""
    authenticators: tuple[str, ...] = field(default=(), repr=False)
    password: str = field(default="", repr=False)
    password_hash: str = field(default="", repr=False)
    groups: tuple[str, ...] = ()
    seconds: tuple[str, ...] = ()


def read_draft(described: Any) -> Draft:
    """Read an account from a mapping of the fields above, with lists of strings; ``authenticator`` may be one string.

    Absent, null and empty fields are equivalent. Without ``methods``, the account signs in by email (or by SMS, if it
    only has a phone number). A given password or authenticator always works.
    :raises NotUsable: when it doesn't describe an account
    """
    given = _checked_shape(described)
    identities = [_identity(kind, given[kind]) for kind in ("email", "phone", "username") if kind in given]
    if not identities:
        raise NotUsable("has no email, phone or username")
    identities += [_identity("email", text) for text in _texts(given, "more_emails")]
    if len([each for each in identities if each.kind == "email"]) > MAX_EMAILS:
        raise NotUsable(f"more_emails: an account has at most {MAX_EMAILS} addresses")
    methods = _methods(given)
    return Draft(
        identities=tuple(dict.fromkeys(identities)),
        methods=methods,
        confirmed=given.get("confirmed", True),
        disabled=given.get("disabled", False),
        name=_name(given.get("name", "")),
        authenticators=_authenticators(given),
        password=given.get("password", ""),
        password_hash=_imported(given.get("password_hash", ""), given.get("password_hmac", False)),
        groups=_groups(given.get("groups", [])),
        seconds=_seconds(given, methods),
    )


def _checked_shape(described: Any) -> dict[str, Any]:
    if not isinstance(described, dict):
        raise NotUsable("is not a JSON object")
    if hint := export_hint(described):
        raise NotUsable(hint)
    if unknown := sorted(described.keys() - {*TEXTS, *FLAGS, *LISTS}):
        raise NotUsable(f"has unknown fields: {', '.join(unknown)[:100]}")
    given = {name: value for name, value in described.items() if value not in (None, "", [])}
    if isinstance(given.get("authenticator"), str):
        given["authenticator"] = [given["authenticator"]]
    for name, value in given.items():
        kind = str if name in TEXTS else bool if name in FLAGS else list
        if not isinstance(value, kind):
            raise NotUsable(f"{name}: should be a {kind.__name__}")
    if not all(isinstance(name, str) and name in configurable_methods() for name in given.get("methods", ())):
        raise NotUsable(f"methods: there are only {', '.join(configurable_methods())}")
    if {"password", "password_hash"} <= given.keys():
        raise NotUsable("has a password and a password_hash; one of them, please")
    if given.get("password_hmac") and "password_hash" not in given:
        raise NotUsable("has password_hmac, and no password_hash")
    return given


def _identity(kind: str, text: str) -> TypedIdentity:
    try:
        if kind == "phone":
            return TypedIdentity(kind, identifiers.phone(text, settings.phone_region_default))
        return TypedIdentity(kind, identifiers.email(text) if kind == "email" else identifiers.username(text))
    except identifiers.InvalidIdentifier as error:
        raise NotUsable(f"{kind}: {error}") from None


def _name(text: str) -> str:
    try:
        return names.read(text)
    except names.InvalidName as error:
        raise NotUsable(f"name: {error}") from None


def _methods(given: dict[str, Any]) -> tuple[str, ...]:
    """Return the account's sign-in methods: those named or the default, and those given with a secret."""
    usual = [name for name, kind in (("email", "email"), ("sms", "phone")) if kind in given][:1]
    with_secret = [name for name in ("password", "authenticator") if name in given or (f"{name}_hash" in given)]
    named = list(dict.fromkeys([*given.get("methods", usual), *with_secret]))
    for name in named:
        if (reaches := method_of(name).reaches) and reaches not in given:
            raise NotUsable(f"methods: {name} needs a value for {reaches}")
        if not reaches and name not in with_secret:
            raise NotUsable(f"methods: {name} needs a value for {name}")
    if not named:
        raise NotUsable("has nothing to sign in with")
    return tuple(named)


def _groups(named: list[Any]) -> tuple[str, ...]:
    for name in named:
        if not (isinstance(name, str) and is_name(name)):
            raise NotUsable(f"groups: {str(name)[:100]!r} can't be the name of a group: it has {NAME_RULE}")
    return tuple(dict.fromkeys(named))


def _texts(given: dict[str, Any], name: str) -> list[str]:
    if not all(isinstance(each, str) for each in given.get(name, ())):
        raise NotUsable(f"{name}: should be a list of texts")
    return list(given.get(name, ()))


def _authenticators(given: dict[str, Any]) -> tuple[str, ...]:
    try:
        secrets = dict.fromkeys(otpauth.read(text) for text in _texts(given, "authenticator"))
    except otpauth.NotSupported as error:
        raise NotUsable(f"authenticator: {error}") from None
    if len(secrets) > MAX_APPS:
        raise NotUsable(f"authenticator: an account has at most {MAX_APPS} apps")
    return tuple(secrets)


def _seconds(given: dict[str, Any], methods: tuple[str, ...]) -> tuple[str, ...]:
    """Return the methods used as a second factor. An authenticator app among them can't sign in alone (ADR 37)."""
    seconds = tuple(dict.fromkeys(_texts(given, "second_factor")))
    for name in seconds:
        if name not in methods or not method_of(name).second_rank:
            raise NotUsable("second_factor: authenticator and sms can be one, where the account has them")
    firsts = set(methods) - {name for name in seconds if not method_of(name).usable_alone_as_second}
    if seconds and not any(firsts - {second} for second in seconds):
        raise NotUsable("second_factor: leaves nothing to sign in with first")
    return seconds


def _imported(text: str, of_hmac: bool) -> str:
    """Return a hash in its stored form, if it is supported and verifying it isn't too expensive."""
    if not text:
        return text
    try:
        return imported_hashes.read(text, of_hmac=of_hmac)
    except imported_hashes.UnsupportedHash as error:
        name = hash_name(text)
        raise NotUsable(
            f"password_hash: is {name}, which is not read; without it the account signs in by e-mail"
            if name
            else f"password_hash: {error}"
        ) from None


def array_hint(line: bytes) -> str:
    """Return how to fix a line that is or starts a JSON array; "" for other lines."""
    return "is a JSON array; one object a line is wanted: jq -c '.[]' FILE" if line.lstrip()[:1] == b"[" else ""


def export_hint(described: dict[str, Any]) -> str:
    """Return which product's export an object looks like, as the rest of a sentence; "" for none."""
    fields = described.keys()
    for name, wanted in WHOLE.items():
        if wanted <= fields and isinstance(described["users"], list):
            return f"is a whole export of {name}; one account a line is wanted{_remedy(name)}"
    named = next((name for name, wanted in EXPORTS.items() if wanted <= fields), "")
    return f"is an account of {named}{_remedy(named)}" if named else ""


def _remedy(name: str) -> str:
    if name == "Firebase":
        return "; rename its fields to ours (flask users import --help)"
    return f"; give --from {name.lower()}"


def hash_name(text: str) -> str:
    """Return the name of a recognized but unsupported hash format, else ""."""
    return next((name for name, pattern in HASHES if re.match(pattern, text)), "")
