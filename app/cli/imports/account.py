"""An account as another product has it, and its groups, put into the words that ``account_drafts`` reads."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import Any

from app.cli.account_drafts import NotUsable
from app.command_language import N_
from app.groups.models import NAME_LENGTH
from app.groups.service import is_name
from app.users import identifiers, names

PASSKEY, SOCIAL, CODES, SECOND_EMAIL, COUNTER, DIRECTORY = (
    "passkey", "social", "recovery codes", "second email", "counter", "directory",
)  # fmt: skip
EMAIL_UNVERIFIED, PHONE_UNVERIFIED, USERNAME, NAME, PHONE, ROLES, SECOND, STAFF, SECRETS = (
    "email unverified", "phone unverified", "username", "name", "phone", "roles", "second", "staff", "secrets",
)  # fmt: skip

LEFT = {
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
"""What stays behind of an account that comes, and what its owner does instead."""


@dataclass
class Account:
    """What is known of an account so far.

    :ivar assumed_verified: what holds for addresses of which the export does not say whether they are verified
    :ivar groups: what each is there (group or role), and as the product names it
    :ivar faults: fields that can't be carried over, with the reason
    :ivar left: keys of ``LEFT``
    """

    assumed_verified: bool = True
    groups: list[tuple[str, str]] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)
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
        """Note why a field stays behind, unless that is known."""
        self.faults.setdefault(field, reason)

    def add_name(self, *parts: str) -> None:
        """Add what its owner is called, from the parts of it in their order; an address is no name."""
        joined = " ".join(filter(None, parts))
        if self.name or not joined or "@" in joined:
            return
        try:
            self.name = names.read(joined)
        except names.InvalidName:
            self.left.add(NAME)

    def add_email(self, email: str, verified: bool | None) -> None:
        """Add an address, unless it is there already; the first is the primary one."""
        if email and email.lower() not in (known.lower() for known in self._emails):
            self._emails[email] = self.assumed_verified if verified is None else verified

    def add_phone(self, phone: str, verified: bool | None, *, signs_in: bool) -> None:
        """Add a phone number, the first one alone.

        :param signs_in: whether codes that go there sign in; else it only finds the account
        """
        if phone and not self._phone:
            self._phone, self._phone_verified, self._phone_signs_in = phone, verified, signs_in

    def add_profile_phone(self, phone: str, region: str, verified: bool | None = None) -> None:
        """Add a number that a profile has: one that can't be read stays behind."""
        if not phone:
            return
        try:
            identifiers.phone(phone, region)
        except identifiers.InvalidIdentifier:
            self.left.add(PHONE)
        else:
            self.add_phone(phone, verified, signs_in=verified is True)

    def add_app(self, text: str, *, is_second: bool = True) -> None:
        """Add an authenticator app by its secret in base32, or its ``otpauth://`` address."""
        self.apps.append(text)
        if is_second:
            self.seconds.add("authenticator")

    def add_second_phone(self, phone: str) -> None:
        """Add a number that codes of the second step go to."""
        if phone:
            self.add_phone(phone, True, signs_in=True)
            self.seconds.add("sms")

    def fields(self) -> dict[str, Any]:
        """Return the account as ``read_draft`` takes it."""
        self._settle_username()
        verified = [email for email, is_verified in self._emails.items() if is_verified]
        phone, vouches = self._phone, self._phone_vouches()
        emails = verified if verified or vouches else list(self._emails)[:1]
        if len(emails) < len(self._emails):
            self.left.add(EMAIL_UNVERIFIED)
        finds = self._phone_verified is None and self.assumed_verified and bool(verified)
        if phone and emails and not (vouches or finds):
            self.left.add(PHONE_UNVERIFIED)
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
            "confirmed": bool(verified) or vouches or not (emails or phone),
            "disabled": self.disabled,
        }

    def _phone_vouches(self) -> bool:
        """Say whether the phone number is proved to be its owner's: one of a profile is not, beside an address."""
        if self._phone_verified is None:
            return bool(self._phone) and self.assumed_verified and (self._phone_signs_in or not self._emails)
        return bool(self._phone) and self._phone_verified

    def _settle_username(self) -> None:
        """Read a username that is an email address as one, and leave one behind that can't be one here."""
        name = self.username
        if "@" in name:
            self.username = ""
            if not self._emails:
                self.add_email(name, None)
            elif name.lower() not in (email.lower() for email in self._emails):
                self.left.add(USERNAME)
        elif name and (self._emails or self._phone):
            try:
                identifiers.username(name)
            except identifiers.InvalidIdentifier:
                self.username = ""
                self.left.add(USERNAME)


class GroupNames:
    """What each group and role of an export is called here, the same in the whole run.

    "/Sales/North West" is "sales.north-west". Two that would get one name are not made one: apps would then give the
    members of either what was meant for the other.
    """

    def __init__(self) -> None:
        self._sources: dict[str, str] = {}

    def of(self, kind: str, source: str) -> str:
        """Return the name of a group or role.

        :raises NotUsable: when it can have none, or another one has it
        """
        said = f"{kind} {source}"
        folded = unicodedata.normalize("NFKD", source).encode("ascii", "ignore").decode().lower()
        path = [re.sub(r"[^a-z0-9._-]+", "-", part.strip()).strip("-._") for part in folded.strip("/").split("/")]
        name = ".".join(path)[:NAME_LENGTH].rstrip("-._")
        if not all(path) or not is_name(name):
            raise NotUsable(f"groups: {said[:100]!r} makes no name of a group here; import with --no-groups")
        if self._sources.setdefault(name, said) != said:
            both = f"{self._sources[name][:100]!r} and {said[:100]!r}"
            raise NotUsable(f"groups: {both} would both be {name}; rename one, or import with --no-groups")
        return name
