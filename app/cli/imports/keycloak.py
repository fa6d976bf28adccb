"""Keycloak: a realm export with users in a single file, or in a directory of ``REALM-users-N.json``."""

from __future__ import annotations

from typing import Any

from app.cli import otpauth
from app.cli.imports.account import CODES, COUNTER, DIRECTORY, PASSKEY, ROLES, SOCIAL, Account
from app.cli.imports.product import Choices, Joins, Part, Row, Skipped, Values
from app.cli.imports.values import flag, mapping, names, number, objects, text
from app.extensions import settings

SIGNS = {"credentials", "enabled", "emailVerified", "realmRoles", "createdTimestamp", "totp", "requiredActions",
         "federatedIdentities", "clientRoles", "notBefore"}  # fmt: skip
AUTOMATIC = {"offline_access", "uma_authorization"}
"""Roles that every user has, like ``default-roles-REALM``, and that carry no information."""

OWN_CLIENTS = {"account", "account-console", "broker"}
"""Keycloak's own clients, which every user has roles of."""

PHONES = ("phoneNumber", "phone_number", "phone", "mobile", "mobileNumber")
PASSKEYS = {"webauthn", "webauthn-passwordless"}


class Keycloak:
    """Users of a realm."""

    name = "keycloak"
    title = "Keycloak"
    lists: tuple[str, ...] = ("users", "federatedUsers")
    joins: Joins = "never"

    def knows(self, values: Values) -> bool:
        """See ``Product``."""
        return "username" in values and bool(values.keys() & SIGNS)

    def part(self, row: Row) -> Part | None:
        """See ``Product``. Never called."""
        return None

    def account(self, values: Values, choices: Choices) -> Account:
        """See ``Product``."""
        if text(values, "serviceAccountClientId", "serviceAccountClientLink"):
            raise Skipped("service accounts of clients")
        account = Account(not choices.unverified, disabled=flag(values, "enabled") is False)
        account.add_email(text(values, "email"), flag(values, "emailVerified"))
        account.username = text(values, "username")
        account.add_name(text(values, "firstName"), text(values, "lastName"))
        attributes = mapping(values.get("attributes"))
        phone = next((found[0] for name in PHONES if (found := names(attributes.get(name)))), "")
        says = names(attributes.get("phoneNumberVerified")) or names(attributes.get("phone_number_verified"))
        verified = flag({"says": says[0]}, "says") if says else None
        account.add_profile_phone(phone, settings.phone_region_default, verified)
        for credential in objects(values.get("credentials")):
            _add_credential(account, credential)
        if objects(values.get("federatedIdentities")):
            account.not_imported.add(SOCIAL)
        if text(values, "federationLink") and not account.password_hash:
            account.not_imported.add(DIRECTORY)
        _add_groups(account, values)
        return account


def _add_groups(account: Account, values: Values) -> None:
    account.groups += [("group", path) for path in names(values.get("groups"))]
    roles = [name for name in names(values.get("realmRoles")) if name not in AUTOMATIC]
    account.groups += [("role", name) for name in roles if not name.startswith("default-roles-")]
    if mapping(values.get("clientRoles")).keys() - OWN_CLIENTS:
        account.not_imported.add(ROLES)


def _add_credential(account: Account, credential: dict[str, Any]) -> None:
    """Add a credential. Before release 8, the content of the two JSON strings was in separate fields."""
    kind = text(credential, "type")
    data = mapping(credential.get("credentialData")) or credential
    secret = mapping(credential.get("secretData")) or {
        "value": credential.get("hashedSaltedValue") or credential.get("value"),
        "salt": credential.get("salt"),
    }
    if kind == "password":
        _add_password(account, data, secret)
    elif kind in ("otp", "totp", "hotp"):
        _add_app(account, kind, data, secret)
    elif kind in PASSKEYS:
        account.not_imported.add(PASSKEY)
    elif kind == "recovery-authn-codes":
        account.not_imported.add(CODES)


def _add_password(account: Account, data: dict[str, Any], secret: dict[str, Any]) -> None:
    algorithm, rounds = text(data, "algorithm"), text(data, "hashIterations")
    salt, value = text(secret, "salt").rstrip("="), text(secret, "value").rstrip("=")
    if not salt or not rounds:
        account.cannot_carry("password_hash", "is not a hash: an export with users has their hashes")
    elif algorithm.startswith("argon2"):
        more = mapping(data.get("additionalParameters"))
        given = {name: (names(more.get(name)) or [""])[0] for name in ("type", "memory", "parallelism", "version")}
        version = "16" if given["version"] in ("1.0", "16") else "19"
        costs = f"m={given['memory']},t={rounds},p={given['parallelism']}"
        account.password_hash = f"$argon2{given['type'] or 'id'}$v={version}${costs}${salt}${value}"
    elif algorithm.startswith("pbkdf2"):
        account.password_hash = f"${algorithm}${rounds}${salt}${value}"
    else:
        account.cannot_carry("password_hash", f"is by {algorithm[:40] or 'nothing'}, which is not read")


def _add_app(account: Account, kind: str, data: dict[str, Any], secret: dict[str, Any]) -> None:
    """Add an authenticator app. Its key is the text itself, unless an encoding is given."""
    if "hotp" in (kind, text(data, "subType")):
        account.not_imported.add(COUNTER)
        return
    value = text(secret, "value")
    is_base32 = text(data, "secretEncoding").upper() == "BASE32"
    key = value if is_base32 else otpauth.base32(value.encode())
    try:
        digits, period = number(data, "digits", otpauth.DIGITS), number(data, "period", otpauth.PERIOD)
    except otpauth.NotSupported as error:
        account.cannot_carry("authenticator", str(error))
        return
    algorithm = text(data, "algorithm") or otpauth.ALGORITHM
    account.add_app(otpauth.address(key, digits=digits, period=period, algorithm=algorithm))
