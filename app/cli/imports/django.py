"""Django: ``dumpdata`` as JSON or JSON lines, for any user model, with django-otp, two-factor and django-allauth."""

from __future__ import annotations

from typing import Any

from app.cli import otpauth
from app.cli.imports.account import CODES, PASSKEY, SOCIAL, STAFF, Account
from app.cli.imports.product import Choices, Joins, Part, Row, Values
from app.cli.imports.values import flag, items, mapping, number, objects, text
from app.extensions import settings

PARTS = {
    "account.emailaddress": "emails",
    "otp_totp.totpdevice": "totp",
    "otp_static.staticdevice": "codes",
    "mfa.authenticator": "mfa",
    "socialaccount.socialaccount": "social",
    "social_django.usersocialauth": "social",
    "two_factor.phonedevice": "phones",
    "phonenumber.phonedevice": "phones",
}
"""Models whose rows belong to a user, mapped to the name of the part."""

PHONES = ("phone", "phone_number", "mobile", "mobile_number")


class Django:
    """Users of a project, with the data that other apps store about them."""

    name = "django"
    title = "Django"
    lists: tuple[str, ...] = ("objects",)
    joins: Joins = "always"

    def __init__(self) -> None:
        self._groups: dict[str, str] = {}

    def knows(self, values: Values) -> bool:
        """See ``Product``."""
        return "model" in values and "fields" in values

    def part(self, row: Row) -> Part | None:
        """See ``Product``. A model with a password and a username or email address is the user model."""
        model, fields = text(row.values, "model").lower(), mapping(row.values.get("fields"))
        if model == "auth.group":
            self._groups[text(row.values, "pk")] = text(fields, "name")
            return None
        is_device = "user" in fields and any(word in model for word in ("webauthn", "passkey", "fido"))
        if name := PARTS.get(model) or ("passkeys" if is_device else ""):
            return Part(_owner(fields.get("user")), name)
        if "password" in fields and ("email" in fields or "username" in fields):
            natural = text(fields, "username") or text(fields, "email")
            return Part(text(row.values, "pk") or f"natural {natural}", also=f"natural {natural}")
        return None

    def account(self, values: Values, choices: Choices) -> Account:
        """See ``Product``."""
        fields = mapping(values.get("fields"))
        account = Account(not choices.unverified, disabled=flag(fields, "is_active") is False)
        _add_addresses(account, values, fields)
        account.add_name(text(fields, "name", "full_name"))
        account.add_name(text(fields, "first_name"), text(fields, "last_name"))
        password = text(fields, "password")
        account.password_hash = "" if password.startswith("!") else password
        for device in _rows(values, "totp"):
            if flag(device, "confirmed") is not False:
                _add_device(account, device)
        _add_mfa(account, values)
        for name, reason in (("social", SOCIAL), ("codes", CODES), ("passkeys", PASSKEY)):
            if _rows(values, name):
                account.not_imported.add(reason)
        if flag(fields, "is_staff") or flag(fields, "is_superuser"):
            account.not_imported.add(STAFF)
        groups = [self._group(each) for each in items(fields.get("groups"))]
        account.groups += [("group", name) for name in groups]
        values["fields"] = fields | {"groups": [[name] for name in groups]}  # by name, for the file of rejected ones
        return account

    def _group(self, named: Any) -> str:
        """Return the name of a group, or its primary key if the file doesn't contain it."""
        if isinstance(named, list):
            return str(named[0]) if named else ""
        return self._groups.get(str(named), str(named))


def _owner(user: Any) -> str:
    """Return the owner of a row: its primary key, or its name with --natural-foreign."""
    return f"natural {user[0]}" if isinstance(user, list) and user else str(user)


def _rows(values: Values, name: str) -> list[dict[str, Any]]:
    return [mapping(each.get("fields")) for each in objects(values.get(name))]


def _add_addresses(account: Account, values: Values, fields: dict[str, Any]) -> None:
    known = sorted(_rows(values, "emails"), key=lambda each: flag(each, "primary") is not True)
    email = text(fields, "email")
    verified_by_email = {text(each, "email").lower(): flag(each, "verified") for each in known}
    for each in known:
        account.add_email(text(each, "email"), flag(each, "verified"))
    account.add_email(email, verified_by_email.get(email.lower()))
    account.username = text(fields, "username")
    for device in _rows(values, "phones"):
        if flag(device, "confirmed") is not False:
            account.add_second_phone(text(device, "number"))
    account.add_profile_phone(text(fields, *PHONES), settings.phone_region_default, flag(fields, "phone_verified"))


def _add_device(account: Account, device: dict[str, Any]) -> None:
    """Add a django-otp device, whose key is hexadecimal."""
    try:
        digits, period = number(device, "digits", otpauth.DIGITS), number(device, "step", otpauth.PERIOD)
        if number(device, "t0", 0):
            raise otpauth.NotSupported("counts its time from another moment than 1970")
        key = bytes.fromhex(text(device, "key"))
    except otpauth.NotSupported as error:
        account.cannot_carry("authenticator", str(error))
    except ValueError:
        account.cannot_carry("authenticator", "has a key that is not hexadecimal")
    else:
        account.add_app(otpauth.address(otpauth.base32(key), digits=digits, period=period))


def _add_mfa(account: Account, values: Values) -> None:
    """Add the rows that django-allauth stores in a single table."""
    for each in _rows(values, "mfa"):
        kind, data = text(each, "type"), mapping(each.get("data"))
        if kind == "totp" and text(data, "secret"):
            account.add_app(text(data, "secret"))
        elif kind == "webauthn":
            account.not_imported.add(PASSKEY)
        elif kind == "recovery_codes":
            account.not_imported.add(CODES)
