"""An account of another product and its groups, translated to the fields that ``account_drafts`` reads."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import Any

from app.cli.account_drafts import NotUsable
from app.command_language import N_
from app.groups.models import MAX_NAME_LENGTH
from app.groups.service import is_name
from app.users import identifiers, names

PASSKEY, SOCIAL, CODES, SECOND_EMAIL, COUNTER, DIRECTORY = (
    "passkey", "social", "recovery codes", "second email", "counter", "directory",
)  # fmt: skip
EMAIL_UNVERIFIED, PHONE_UNVERIFIED, USERNAME, NAME, PHONE, ROLES, SECOND, STAFF, SECRETS = (
    "email unverified", "phone unverified", "username", "name", "phone", "roles", "second", "staff", "secrets",
)  # fmt: skip

NOT_IMPORTED = {
    PASSKEY: N_("Passkeys and security keys work for one site alone: their owners sign in by email and add new ones."),
    SOCIAL: N_("Sign-in with another service (Google, GitHub, SAML) doesn't move: their owners sign in by email."),
    CODES: N_("Recovery codes don't move: their owners create new ones once they are signed in."),
    SECOND_EMAIL: N_("A code by email is no second factor here: their owners can set up an authenticator app."),
    COUNTER: N_("Counter-based codes (HOTP) work nowhere here: their owners set up an authenticator app."),
    DIRECTORY: N_("The password is kept by a directory (LDAP), not in the export: their owners sign in by email."),
    EMAIL_UNVERIFIED: N_("An email address that wasn't verified there stays behind beside one that was."),
    PHONE_UNVERIFIED: N_("A phone number that wasn't verified there stays behind."),
    USERNAME: N_("A username that can't be one here (3 to 64 of a-z 0-9 . _ -) stays behind."),
    NAME: N_("A name that can't be one here (over 64 characters, or with @, < or >) stays behind."),
    PHONE: N_("A phone number that can't be read stays behind: it was no sign-in method there."),
    SECOND: N_("A second factor whose secret isn't in the export doesn't move: until they set one up, there is none."),
    SECRETS: N_("The export has no credentials of them, so passwords and second factors stay behind."),
    STAFF: N_("Staff and superuser rights don't move: give rights here by groups."),
    ROLES: N_("Roles that only its own apps know stay behind."),
}
"""What isn't carried over with an account, and what its owner does instead."""


@dataclass
class Account:
    """An account as far as it is known.

    :ivar assumed_verified: whether addresses count as verified if the export doesn't say
    :ivar groups: pairs of kind (group or role) and the product's name for it
    :ivar faults: fields that can't be carried over, with the reason
    :ivar not_imported: keys of ``NOT_IMPORTED``
    """

    assumed_verified: bool = True
    groups: list[tuple[str, str]] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    not_imported: set[str] = field(default_factory=set)
    disabled: bool = False
    password_hash: str = field(default="", repr=False)
    password_hmac: bool = False
    apps: list[str] = field(default_factory=list, repr=False)
    seconds: set[str] = field(default_factory=set)
    username: str = ""
    name: str = ""
    _emails: dict[str, bool] = field(default_factory=dict)
    _phone: str = ""
    _phone_verified: bool | None = None
    _phone_signs_in: bool = False

    def cannot_carry(self, field: str, reason: str) -> None:
        """Record why a field can't be carried over. The first reason is kept."""
        self.faults.setdefault(field, reason)

    def add_name(self, *parts: str) -> None:
        """Set the owner's name from its parts, in order. An email address isn't accepted as a name."""
        joined = " ".join(filter(None, parts))
        if self.name or not joined or "@" in joined:
            return
        try:
            self.name = names.read(joined)
        except names.InvalidName:
            self.not_imported.add(NAME)

    def add_email(self, email: str, verified: bool | None) -> None:
        """Add an email address, unless it is already there. The first one is primary."""
        if email and email.lower() not in (known.lower() for known in self._emails):
            self._emails[email] = self.assumed_verified if verified is None else verified

    def add_phone(self, phone: str, verified: bool | None, *, signs_in: bool) -> None:
        """Set the phone number, unless there already is one.

        :param signs_in: whether codes sent to it can be used to sign in; otherwise it only identifies the account
        """
        if phone and not self._phone:
            self._phone, self._phone_verified, self._phone_signs_in = phone, verified, signs_in

    def add_profile_phone(self, phone: str, region: str, verified: bool | None = None) -> None:
        """Add a phone number from a profile. An invalid one is dropped."""
        if not phone:
            return
        try:
            identifiers.phone(phone, region)
        except identifiers.InvalidIdentifier:
            self.not_imported.add(PHONE)
        else:
            self.add_phone(phone, verified, signs_in=verified is True)

    def add_app(self, text: str, *, is_second: bool = True) -> None:
        """Add an authenticator app by its base32 secret or ``otpauth://`` URI."""
        self.apps.append(text)
        if is_second:
            self.seconds.add("authenticator")

    def add_second_phone(self, phone: str) -> None:
        """Add a phone number that receives second-factor codes."""
        if phone:
            self.add_phone(phone, True, signs_in=True)
            self.seconds.add("sms")

    def fields(self) -> dict[str, Any]:
        """Return the account as a mapping for ``read_draft``."""
        self._normalize_username()
        verified = [email for email, is_verified in self._emails.items() if is_verified]
        phone, phone_verified = self._phone, self._is_phone_verified()
        emails = verified if verified or phone_verified else list(self._emails)[:1]
        if len(emails) < len(self._emails):
            self.not_imported.add(EMAIL_UNVERIFIED)
        finds = self._phone_verified is None and self.assumed_verified and bool(verified)
        if phone and emails and not (phone_verified or finds):
            self.not_imported.add(PHONE_UNVERIFIED)
            phone = ""
        methods = ["email"] if emails else []
        if phone and (self._phone_signs_in or not emails):
            methods.append("sms")
        return {
            "email": emails[0] if emails else "",
            "more_emails": emails[1:],
            "phone": phone,
            "username": self.username,
            "name": self.name,
            "methods": methods,
            "password_hash": self.password_hash,
            "password_hmac": bool(self.password_hash) and self.password_hmac,
            "authenticator": self.apps,
            "second_factor": sorted(self.seconds & {*methods, *(["authenticator"] if self.apps else [])}),
            "confirmed": bool(verified) or phone_verified or not (emails or phone),
            "disabled": self.disabled,
        }

    def _is_phone_verified(self) -> bool:
        """Return whether the phone number is verified. One from a profile isn't, if there is an email address."""
        if self._phone_verified is None:
            return bool(self._phone) and self.assumed_verified and (self._phone_signs_in or not self._emails)
        return bool(self._phone) and self._phone_verified

    def _normalize_username(self) -> None:
        """Treat a username that is an email address as one, and drop one that isn't valid here."""
        name = self.username
        if "@" in name:
            self.username = ""
            if not self._emails:
                self.add_email(name, None)
            elif name.lower() not in (email.lower() for email in self._emails):
                self.not_imported.add(USERNAME)
        elif name and (self._emails or self._phone):
            try:
                identifiers.username(name)
            except identifiers.InvalidIdentifier:
                self.username = ""
                self.not_imported.add(USERNAME)


class GroupNames:
    """Maps an export's groups and roles to group names, consistently throughout a run.

    "/Sales/North West" becomes "sales.north-west". Two that map to the same name aren't merged, since apps would then
    give the members of one access meant for the other.
    """

    def __init__(self) -> None:
        self._sources: dict[str, str] = {}

    def of(self, kind: str, source: str) -> str:
        """Return the name for a group or role.

        :raises NotUsable: when no valid name can be derived, or it is already used by another
        """
        label = f"{kind} {source}"
        folded = unicodedata.normalize("NFKD", source).encode("ascii", "ignore").decode().lower()
        path = [re.sub(r"[^a-z0-9._-]+", "-", part.strip()).strip("-._") for part in folded.strip("/").split("/")]
        name = ".".join(path)[:MAX_NAME_LENGTH].rstrip("-._")
        if not all(path) or not is_name(name):
            raise NotUsable(f"groups: {label[:100]!r} makes no name of a group here; import with --no-groups")
        if self._sources.setdefault(name, label) != label:
            both = f"{self._sources[name][:100]!r} and {label[:100]!r}"
            raise NotUsable(f"groups: {both} would both be {name}; rename one, or import with --no-groups")
        return name
