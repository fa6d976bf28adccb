"""Auth0: the bulk user export, the password hashes provided by its support, and files for its own import."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from app.cli.imports.account import PASSKEY, SECOND, SECOND_EMAIL, SOCIAL, Account
from app.cli.imports.product import Choices, Joins, Part, Row, Values
from app.cli.imports.values import flag, mapping, names, number, objects, text
from app.cli.otpauth import NotSupported

OWN = {"auth0", "email", "sms"}
"""Identity providers verified by a mailbox, a phone or Auth0's own database. All others are external services."""

SIGNS = {"user_id", "passwordHash", "custom_password_hash", "identities", "app_metadata", "user_metadata",
         "mfa_factors", "email_verified", "phone_verified"}  # fmt: skip
FAST = {"hmac", "ldap", "md4", "md5", "sha1", "sha256", "sha512"}


class Auth0:
    """Users of a tenant, one JSON object or CSV row each."""

    name = "auth0"
    title = "Auth0"
    lists: tuple[str, ...] = ("users",)
    joins: Joins = "files"

    def knows(self, values: Values) -> bool:
        """See ``Product``."""
        return bool(values.keys() & SIGNS) and not values.keys() & {"traits", "encrypted_password", "emailVerified"}

    def part(self, row: Row) -> Part:
        """See ``Product``. A line of the hash export belongs to the user with its ID."""
        values = row.values
        if "passwordHash" in values and "user_id" not in values:
            own = text(values, "alt_id") or text(mapping(values.get("_id")), "$oid") or text(values, "_id")
            return Part(own, "password_export")
        return Part(text(values, "user_id").rpartition("|")[2])

    def account(self, values: Values, choices: Choices) -> Account:
        """See ``Product``."""
        account = Account(not choices.unverified, disabled=flag(values, "blocked") is True)
        exported = [values, *objects(values.get("password_export"))]
        for each in exported:
            account.add_email(text(each, "email"), flag(each, "email_verified"))
            _add_identifiers(account, each)
        phone = text(values, "phone_number")
        account.add_phone(phone, flag(values, "phone_verified"), signs_in=True)
        account.username = account.username or text(values, "username")
        account.add_name(text(values, "name"))
        account.add_name(text(values, "given_name"), text(values, "family_name"))
        for each in exported:
            _add_password(account, each)
        _add_factors(account, values)
        metadata = mapping(values.get("app_metadata"))
        for holder in (metadata, mapping(metadata.get("authorization"))):
            for kind in ("group", "role"):
                account.groups += [(kind, name) for name in names(holder.get(f"{kind}s"))]
        if _providers(values) - OWN:
            account.not_imported.add(SOCIAL)
        return account


def _add_identifiers(account: Account, values: Values) -> None:
    """Add the identifiers listed by newer exports, in which the older fields may be missing."""
    for each in objects(values.get("identifiers")):
        value, verified = text(each, "value"), flag(each, "verified")
        if each.get("type") == "email":
            account.add_email(value, verified)
        elif each.get("type") in ("phone", "phone_number"):
            account.add_phone(value, verified, signs_in=True)
        elif each.get("type") == "username":
            account.username = value


def _providers(values: Values) -> set[str]:
    listed = {text(each, "provider") for each in objects(values.get("identities"))}
    before, found, _ = text(values, "user_id").partition("|")
    return {each for each in listed | ({before} if found else set()) if each}


def _add_password(account: Account, values: Values) -> None:
    account.password_hash = account.password_hash or text(values, "passwordHash", "password_hash")
    custom = mapping(values.get("custom_password_hash"))
    if custom and not account.password_hash:
        try:
            account.password_hash = _custom_hash(custom)
        except NotSupported as error:
            account.cannot_carry("password_hash", str(error))


def _custom_hash(custom: dict[str, Any]) -> str:
    """Return the hash in a supported format. Raises ``NotSupported`` naming an unsupported one."""
    algorithm, hashed = text(custom, "algorithm").lower(), mapping(custom.get("hash"))
    if algorithm in FAST:
        raise NotSupported(f"is {algorithm}, which is guessed fast and not read")
    if text(mapping(custom.get("password")), "encoding") not in ("", "utf8", "utf-8", "ascii"):
        raise NotSupported("is of a password in another encoding than UTF-8")
    if algorithm == "scrypt":
        return _scrypt(custom, hashed)
    return text(hashed, "value")


def _scrypt(custom: dict[str, Any], hashed: dict[str, Any]) -> str:
    cost = number(custom, "cost", 16384)
    block, lanes = number(custom, "blockSize", 8), number(custom, "parallelization", 1)
    salt, value = _decoded(mapping(custom.get("salt"))), _decoded(hashed)
    if cost < 2 or cost & (cost - 1):
        raise NotSupported("has a cost of scrypt that is no power of two")
    return f"$scrypt$ln={cost.bit_length() - 1},r={block},p={lanes}${_base64(salt)}${_base64(value)}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _decoded(part: dict[str, Any]) -> bytes:
    value, encoding = text(part, "value"), text(part, "encoding").lower() or "utf8"
    try:
        if encoding == "hex":
            return bytes.fromhex(value)
        if encoding == "base64":
            return base64.b64decode(value + "=" * (-len(value) % 4))
    except (binascii.Error, ValueError):
        raise NotSupported(f"has a part that is not {encoding}") from None
    return value.encode()


def _add_factors(account: Account, values: Values) -> None:
    factors = objects(values.get("mfa_factors"))
    for factor in factors:
        if secret := text(mapping(factor.get("totp")), "secret"):
            account.add_app(secret)
        account.add_second_phone(text(mapping(factor.get("phone")), "value"))
        if "email" in factor:
            account.not_imported.add(SECOND_EMAIL)
    if names(values.get("multifactor")) and not factors:
        account.not_imported.add(SECOND)
    if any(text(each, "type") in ("passkey", "webauthn-roaming", "webauthn-platform")
           for each in objects(values.get("authentication_methods"))):  # fmt: skip
        account.not_imported.add(PASSKEY)
