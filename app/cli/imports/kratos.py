"""Ory Kratos: identities of the admin API with credentials, as a list, one per line, or under ``identities``."""

from __future__ import annotations

from typing import Any

from app.cli.imports.account import CODES, PASSKEY, SECRETS, SOCIAL, Account
from app.cli.imports.product import Choices, Joins, Part, Row, Values
from app.cli.imports.values import flag, items, mapping, names, objects, text

EMAILS, PHONES, USERNAMES = ("email", "emails"), ("phone", "phone_number", "phones"), ("username", "user_name")
MISSING = "isn't in this export: ask for it by include_credential={}"


class Kratos:
    """Identities of any schema."""

    name = "kratos"
    title = "Kratos"
    lists: tuple[str, ...] = ("identities",)
    joins: Joins = "never"

    def knows(self, values: Values) -> bool:
        """See ``Product``."""
        return "traits" in values

    def part(self, row: Row) -> Part | None:
        """See ``Product``. Never called."""
        return None

    def account(self, values: Values, choices: Choices) -> Account:
        """See ``Product``."""
        account = Account(not choices.unverified, disabled=text(values, "state") == "inactive")
        credentials = {name: mapping(each) for name, each in mapping(values.get("credentials")).items()}
        if "credentials" not in values:
            account.not_imported.add(SECRETS)
        _add_addresses(account, values, credentials)
        _add_name(account, mapping(values.get("traits")))
        _add_password(account, credentials)
        _add_app(account, credentials)
        for name, reason in (("webauthn", PASSKEY), ("passkey", PASSKEY), ("lookup_secret", CODES), ("oidc", SOCIAL),
                           ("saml", SOCIAL)):  # fmt: skip
            if _has(credentials, name):
                account.not_imported.add(reason)
        for holder in (mapping(values.get("metadata_admin")), mapping(values.get("metadata_public"))):
            for kind in ("group", "role"):
                account.groups += [(kind, name) for name in names(holder.get(f"{kind}s"))]
        return account


def _has(credentials: dict[str, dict[str, Any]], name: str) -> bool:
    """Return whether there is a credential of this kind. An emptied set of credentials is still listed."""
    if name not in credentials:
        return False
    config = mapping(credentials[name].get("config"))
    credentials_left = [config[key] for key in ("credentials", "recovery_codes", "providers") if key in config]
    return not credentials_left or any(credentials_left)


def _add_addresses(account: Account, values: Values, credentials: dict[str, dict[str, Any]]) -> None:
    """Add the addresses found in traits, verifiable addresses and the password's identifiers."""
    traits = mapping(values.get("traits"))
    verified = {
        text(each, "value").lower(): flag(each, "verified") for each in objects(values.get("verifiable_addresses"))
    }
    identifiers = [
        name for name in items(mapping(credentials.get("password")).get("identifiers")) if isinstance(name, str)
    ]
    emails = [name for trait in EMAILS for name in names(traits.get(trait))]
    emails += [
        text(each, "value") for each in objects(values.get("verifiable_addresses")) if each.get("via") == "email"
    ]
    emails += [name for name in identifiers if "@" in name]
    for email in emails:
        account.add_email(email, verified.get(email.lower()))
    phones = [name for trait in PHONES for name in names(traits.get(trait))]
    phones += [text(each, "value") for each in objects(values.get("verifiable_addresses")) if each.get("via") == "sms"]
    for phone in phones:
        account.add_phone(phone, verified.get(phone.lower()), signs_in=verified.get(phone.lower()) is True)
    others = [name for name in identifiers if "@" not in name and name not in phones]
    account.username = text(traits, *USERNAMES) or next(iter(others), "")


def _add_name(account: Account, traits: dict[str, Any]) -> None:
    """Add a name, which schemas store as a string or as an object with parts."""
    parts = mapping(traits.get("name"))
    account.add_name(text(traits, "name", "full_name", "display_name"))
    account.add_name(text(parts, "first", "first_name", "given"), text(parts, "last", "last_name", "family"))
    account.add_name(text(traits, "first_name"), text(traits, "last_name"))


def _add_password(account: Account, credentials: dict[str, dict[str, Any]]) -> None:
    if "password" not in credentials:
        return
    config = mapping(credentials["password"].get("config"))
    account.password_hash = text(config, "hashed_password")
    if "config" not in credentials["password"]:
        account.cannot_carry("password_hash", MISSING.format("password"))
    elif flag(config, "use_password_migration_hook") and not account.password_hash:
        account.cannot_carry("password_hash", "is still with the service that the migration hook asks")


def _add_app(account: Account, credentials: dict[str, dict[str, Any]]) -> None:
    if "totp" not in credentials:
        return
    if "config" not in credentials["totp"]:
        account.cannot_carry("authenticator", MISSING.format("totp"))
    elif address := text(mapping(credentials["totp"]["config"]), "totp_url"):
        account.add_app(address)
