"""Flask-Security: its tables as CSV, JSON or a data dump."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from app.cli import otpauth
from app.cli.imports.account import CODES, PASSKEY, SECOND_EMAIL, Account
from app.cli.imports.product import Choices, Joins, Part, Row, Values
from app.cli.imports.values import flag, items, mapping, names, number, objects, text

SINGLE = re.compile(r"pbkdf2_sha|argon2\$|bcrypt\$\$|bcrypt_sha256\$\$|(sha1|md5)\$|!")
"""Hashes in Django's formats, by default in SECURITY_PASSWORD_SINGLE_HASH: they are of the password itself."""

MAX_COST = 20
"""2**20 rounds of PBKDF2 for one key. passlib uses 2**14."""


class FlaskSecurity:
    """Users of an application, with their roles."""

    name = "flask-security"
    title = "Flask-Security"
    lists: tuple[str, ...] = ("users", "user")
    joins: Joins = "always"

    def __init__(self) -> None:
        self._roles: dict[str, str] = {}
        self._confirmable = False

    def knows(self, values: Values) -> bool:
        """See ``Product``. Includes roles, and rows that belong to a user."""
        return _kind(values) is not None

    def part(self, row: Row) -> Part | None:
        """See ``Product``. Determined by the columns."""
        kind, values = _kind(row.values), row.values
        if kind == "roles":
            self._roles[text(values, "id")] = text(values, "name")
            return None
        if kind == "":
            self._confirmable = self._confirmable or bool(text(values, "confirmed_at"))
            return Part(text(values, "id"))
        return Part(text(values, "user_id", "users_id"), kind) if kind else None

    def account(self, values: Values, choices: Choices) -> Account:
        """See ``Product``. If no user has ``confirmed_at``, the service didn't verify addresses, so it is unknown."""
        confirmable = values.setdefault("confirmable", self._confirmable)
        confirmed = bool(text(values, "confirmed_at")) if confirmable else None
        account = Account(not choices.unverified, disabled=flag(values, "active") is False)
        account.add_email(text(values, "email"), confirmed)
        account.username = text(values, "username")
        account.add_name(text(values, "name", "full_name", "display_name"))
        account.add_name(text(values, "first_name"), text(values, "last_name"))
        account.password_hash = text(values, "password")
        account.password_hmac = choices.hmac and not SINGLE.match(account.password_hash)
        account.add_phone(text(values, "us_phone_number"), True, signs_in=True)
        _add_second(account, values, choices.totp_secrets)
        unified = mapping(values.get("us_totp_secrets"))
        if secret := unified.get("authenticator"):
            _add_app(account, secret, choices.totp_secrets, is_second=False)
        if items(values.get("mf_recovery_codes")) or names(values.get("mf_recovery_codes")):
            account.not_imported.add(CODES)
        if objects(values.get("passkeys")) or objects(values.get("webauthn")):
            account.not_imported.add(PASSKEY)
        linked = [text(each, "role_id", "roles_id") for each in objects(values.pop("role_ids", None))]
        values["roles"] = [*names(values.get("roles")), *(self._roles.get(each, each) for each in linked)]
        account.groups += [("role", name) for name in values["roles"]]
        return account


def _kind(values: Values) -> str | None:
    """Return the table a row is from: "" for users, None for one unrelated to users."""
    columns = values.keys()
    if "fs_uniquifier" in columns or {"password", "active"} <= columns:
        return ""
    if {"credential_id", "public_key"} <= columns:
        return "passkeys"
    if columns & {"role_id", "roles_id"} and columns & {"user_id", "users_id"}:
        return "role_ids"
    return "roles" if {"id", "name"} <= columns and columns & {"description", "permissions"} else None


def _add_second(account: Account, values: Values, secrets: Mapping[str, str]) -> None:
    method = text(values, "tf_primary_method")
    if method in ("email", "mail"):
        account.not_imported.add(SECOND_EMAIL)
    elif method == "sms":
        account.add_second_phone(text(values, "tf_phone_number"))
    elif method and text(values, "tf_totp_secret"):
        _add_app(account, values["tf_totp_secret"], secrets, is_second=True)


def _add_app(account: Account, kept: Any, secrets: Mapping[str, str], *, is_second: bool) -> None:
    """Add an app from passlib's format: base32, a URI, or JSON, in which the secret may be encrypted."""
    source = mapping(kept)
    try:
        address = _address(source, secrets) if source else str(kept)
    except otpauth.NotSupported as error:
        account.cannot_carry("authenticator", str(error))
    else:
        account.add_app(address, is_second=is_second)


def _address(source: dict[str, Any], secrets: Mapping[str, str]) -> str:
    """Return the ``otpauth://`` URI for the output of passlib's ``TOTP.to_json``. Raises ``NotSupported``."""
    encrypted = mapping(source.get("enckey"))
    key = otpauth.base32(_decrypted(encrypted, secrets)) if encrypted else text(source, "key")
    digits, period = number(source, "digits", otpauth.DIGITS), number(source, "period", otpauth.PERIOD)
    return otpauth.address(key, digits=digits, period=period, algorithm=text(source, "alg") or "SHA1")


def _decrypted(encrypted: dict[str, Any], secrets: Mapping[str, str]) -> bytes:
    """Decrypt a key encrypted by passlib's AppWallet: AES-256 in counter mode, key and counter derived with PBKDF2."""
    tag, cost = text(encrypted, "t"), number(encrypted, "c", 14)
    if tag not in secrets:
        problem = f"has no secret {tag[:20]!r}" if secrets else "wants SECURITY_TOTP_SECRETS"
        raise otpauth.NotSupported(f"is encrypted: --totp-secrets {problem}")
    if text(encrypted, "v") != "1" or not 0 <= cost <= MAX_COST:
        raise otpauth.NotSupported("is encrypted in a form that is not known here")
    try:
        salt, sealed = (_bytes(text(encrypted, name)) for name in "sk")
    except ValueError:
        raise otpauth.NotSupported("is encrypted, and cut off") from None
    made = hashlib.pbkdf2_hmac("sha256", secrets[tag].encode(), salt, 1 << cost, 48)
    opener = Cipher(AES(made[:32]), CTR(made[32:])).decryptor()
    return opener.update(sealed) + opener.finalize()


def _bytes(text: str) -> bytes:
    return base64.b32decode(text + "=" * (-len(text) % 8))
