"""Supabase: rows of ``auth.users``, ``auth.identities`` and ``auth.mfa_factors`` as CSV, JSON or a data dump.

Users listed by its admin API are also supported, but without passwords.
"""

from __future__ import annotations

from typing import Any

from app.cli.imports.account import PASSKEY, SECOND, SOCIAL, Account
from app.cli.imports.product import Choices, Joins, Part, Row, Skipped, Values
from app.cli.imports.values import flag, is_ahead, is_set, mapping, names, objects, text

OWN = {"email", "phone", "anonymous"}
"""Providers verified by a mailbox or phone. All others are external services."""

ENCRYPTED = "is encrypted by Supabase (GOTRUE_SECURITY_DB_ENCRYPTION): decrypt it there first"


class Supabase:
    """Users of a project."""

    name = "supabase"
    title = "Supabase"
    lists: tuple[str, ...] = ("users",)
    joins: Joins = "always"

    def knows(self, values: Values) -> bool:
        """See ``Product``. Includes rows that belong to a user."""
        return _kind(values) is not None

    def part(self, row: Row) -> Part | None:
        """See ``Product``. Determined by the columns, since other schemas have tables with the same names."""
        kind = _kind(row.values)
        if kind is None:
            return None
        return Part(text(row.values, "user_id"), kind) if kind else Part(text(row.values, "id"))

    def account(self, values: Values, choices: Choices) -> Account:
        """See ``Product``."""
        if flag(values, "is_anonymous"):
            raise Skipped("anonymous users")
        if text(values, "deleted_at"):
            raise Skipped("deleted users")
        account = Account(not choices.unverified, disabled=is_ahead(text(values, "banned_until")))
        account.add_email(text(values, "email"), _confirmed(values, "email"))
        phone = text(values, "phone")
        phone = f"+{phone}" if phone.isdecimal() else phone
        account.add_phone(phone, _confirmed(values, "phone"), signs_in=True)
        profile = mapping(values.get("raw_user_meta_data") or values.get("user_metadata"))
        account.add_name(text(profile, "full_name", "name", "display_name"))
        hashed = text(values, "encrypted_password")
        if "key_id" in mapping(hashed):
            account.cannot_carry("password_hash", ENCRYPTED)
        else:
            account.password_hash = hashed
        metadata = mapping(values.get("raw_app_meta_data") or values.get("app_metadata"))
        for kind in ("group", "role"):
            account.groups += [(kind, name) for name in names(metadata.get(f"{kind}s"))]
        given = {text(each, "provider") for each in objects(values.get("identities"))} | set(
            names(metadata.get("providers"))
        )
        if flag(values, "is_sso_user") or given - OWN - {""}:
            account.not_imported.add(SOCIAL)
        if objects(values.get("passkeys")):
            account.not_imported.add(PASSKEY)
        for factor in [*objects(values.get("mfa_factors")), *objects(values.get("factors"))]:
            if text(factor, "status") == "verified":
                _add_factor(account, factor)
        return account


def _kind(values: Values) -> str | None:
    """Return the table a row is from: "" for users, None for one unrelated to users."""
    columns = values.keys()
    if "encrypted_password" in columns or {"id", "aud", "role"} <= columns or {"aud", "app_metadata"} <= columns:
        return ""
    if {"user_id", "factor_type"} <= columns:
        return "mfa_factors"
    if {"user_id", "provider", "identity_data"} <= columns:
        return "identities"
    return "passkeys" if {"user_id", "credential_id", "public_key"} <= columns else None


def _confirmed(values: Values, kind: str) -> bool | None:
    """Return whether an address was confirmed; None if the export doesn't say."""
    confirmed = is_set(values, f"{kind}_confirmed_at")
    if confirmed is None and "app_metadata" in values:
        return False  # the API omits fields without a value
    return is_set(values, "confirmed_at") if confirmed is None and kind == "email" else confirmed


def _add_factor(account: Account, factor: dict[str, Any]) -> None:
    kind, secret = text(factor, "factor_type"), text(factor, "secret")
    if kind == "totp" and "key_id" in mapping(secret):
        account.cannot_carry("authenticator", ENCRYPTED)
    elif kind == "totp" and secret:
        account.add_app(secret)
    elif kind == "phone":
        phone = text(factor, "phone")
        account.add_second_phone(f"+{phone}" if phone.isdecimal() else phone)
    else:
        account.not_imported.add(PASSKEY if kind == "webauthn" else SECOND)
