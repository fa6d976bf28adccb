"""Which email addresses and phone numbers can be used to create an account, and which email domains are denied.

The decision depends only on what was typed, never on whether it has an account, so it can be shown to anyone.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from app.errors import Rejected
from app.extensions import settings, this_app
from app.users import identifiers
from app.users.lookup import TypedIdentity
from config.registration import read_domains

if TYPE_CHECKING:
    from flask import Flask

_DISPOSABLE = "latchkey.disposable_domains"


def init_app(app: Flask) -> None:
    """Load the file of disposable domains, if one is configured. Changes take effect at the next start."""
    with app.app_context():
        path = settings.disposable_domains_file
    app.extensions[_DISPOSABLE] = read_domains(path) if path else frozenset()


def may_register(typed: TypedIdentity) -> bool:
    """Return whether the owner of this identity can create an account without an invitation."""
    if typed.kind == "email":
        return may_email_register(typed.value)
    return _may_number(typed) and settings.registration == "open"


def check(typed: TypedIdentity, field: str, *, invited: bool) -> None:
    """Check that an account can be created with ``typed``, assuming that people can register here at all.

    A phone number has no email domain: where registration is limited by domain, it needs an invitation.
    :param field: form field for the error
    :param invited: whether the person has an invitation
    :raises Rejected: ``email_domain_not_allowed``, ``phone_not_mobile``, ``phone_needs_invitation``
    """
    if typed.kind == "email":
        if is_denied(typed.value) or not (invited or may_email_register(typed.value)):
            raise Rejected("email_domain_not_allowed", field=field)
    elif not _may_number(typed):
        raise Rejected("phone_not_mobile", field=field)
    elif not invited and settings.registration != "open":
        raise Rejected("phone_needs_invitation", field=field)


def is_denied(email: str) -> bool:
    """Return whether no account can be created with this address: its domain, or a parent domain, is denied."""
    domain = _domain_of(email)
    denied: tuple[Collection[str], ...] = (settings.registration_denied_domains, this_app().extensions[_DISPOSABLE])
    if any(domain in domains for domains in denied):
        return True
    return any(above in domains or f"*.{above}" in domains for above in _above(domain) for domains in denied)


def may_email_register(email: str) -> bool:
    """Return whether the owner of this address can create an account without an invitation."""
    if not settings.can_register or is_denied(email):
        return False
    return settings.registration == "open" or _is_allowed(email)


def why_closed() -> str:
    """Return the error code if no one can create an account without an invitation; "" if people can."""
    if settings.can_register:
        return ""
    return "invitation_required" if settings.registration == "invite" else "registration_closed"


def check_denied(email: str) -> None:
    """Check that this address can be added to an account.

    :raises Rejected: ``email_domain_not_allowed`` if not
    """
    if is_denied(email):
        raise Rejected("email_domain_not_allowed", field="email")


def _is_allowed(email: str) -> bool:
    domain, allowed = _domain_of(email), settings.registration_domains
    return domain in allowed or any(f"*.{above}" in allowed for above in _above(domain))


def _above(domain: str) -> list[str]:
    """Return the parent domains, such as ``example.com`` and ``com`` for ``mail.example.com``."""
    parts = domain.split(".")
    return [".".join(parts[start:]) for start in range(1, len(parts))]


def _domain_of(email: str) -> str:
    return email.rpartition("@")[2]


def _may_number(typed: TypedIdentity) -> bool:
    return typed.kind == "phone" and settings.can_register_by_phone and identifiers.gets_texts(typed.value)
