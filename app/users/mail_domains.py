"""Mail domains that can register, and those that no account can be created with or get.

What is refused depends on the typed address alone, never on whether it has an account, so it can be said openly.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from app.errors import Rejected
from app.extensions import settings, this_app
from config.registration import read_domains

if TYPE_CHECKING:
    from flask import Flask

_DISPOSABLE = "latchkey.disposable_domains"


def init_app(app: Flask) -> None:
    """Read the file of disposable domains, if there is one. It is read again at the next start."""
    with app.app_context():
        path = settings.disposable_domains_file
    app.extensions[_DISPOSABLE] = read_domains(path) if path else frozenset()


def is_denied(email: str) -> bool:
    """Say whether no account can be created with this address: its domain, or one above it, is denied."""
    domain = _domain_of(email)
    denied: tuple[Collection[str], ...] = (settings.registration_denied_domains, this_app().extensions[_DISPOSABLE])
    if any(domain in domains for domains in denied):
        return True
    return any(above in domains or f"*.{above}" in domains for above in _above(domain) for domains in denied)


def may_register(email: str) -> bool:
    """Say whether whoever reads this address's mail can create an account without an invitation."""
    if not settings.can_register or is_denied(email):
        return False
    return settings.registration == "open" or _is_allowed(email)


def why_closed() -> str:
    """Return why nobody can create an account without an invitation, as the code of an error; "" if people can."""
    if settings.can_register:
        return ""
    return "invitation_required" if settings.registration == "invite" else "registration_closed"


def check_denied(email: str) -> None:
    """Go on only if an account may get this address.

    :raises Rejected: ``email_domain_not_allowed``
    """
    if is_denied(email):
        raise Rejected("email_domain_not_allowed", field="email")


def _is_allowed(email: str) -> bool:
    domain, allowed = _domain_of(email), settings.registration_domains
    return domain in allowed or any(f"*.{above}" in allowed for above in _above(domain))


def _above(domain: str) -> list[str]:
    """Return the domains above one, as ``example.com`` and ``com`` for ``mail.example.com``."""
    parts = domain.split(".")
    return [".".join(parts[start:]) for start in range(1, len(parts))]


def _domain_of(email: str) -> str:
    return email.rpartition("@")[2]
