"""Which emails and phone numbers an account can be created with. The answer depends on what was typed alone."""

from __future__ import annotations

from app.errors import Rejected
from app.extensions import settings
from app.users import identifiers, mail_domains
from app.users.lookup import TypedIdentity


def may_register(typed: TypedIdentity) -> bool:
    """Say whether whoever reads what is sent to ``typed`` can create an account without an invitation."""
    if typed.kind == "email":
        return mail_domains.may_register(typed.value)
    return _may_number(typed) and settings.registration == "open"


def check(typed: TypedIdentity, field: str, *, invited: bool) -> None:
    """Go on only if an account can be created with ``typed``, where people can create accounts.

    A number belongs to no mail domain: where those decide, it needs an invitation.
    :param field: that is told of it
    :param invited: whether there is an invitation that is passed on
    :raises Rejected: ``email_domain_not_allowed``, ``phone_not_mobile``, ``phone_needs_invitation``
    """
    if typed.kind == "email":
        if mail_domains.is_denied(typed.value) or not (invited or mail_domains.may_register(typed.value)):
            raise Rejected("email_domain_not_allowed", field=field)
    elif not _may_number(typed):
        raise Rejected("phone_not_mobile", field=field)
    elif not invited and settings.registration != "open":
        raise Rejected("phone_needs_invitation", field=field)


def _may_number(typed: TypedIdentity) -> bool:
    return typed.kind == "phone" and settings.can_register_by_phone and identifiers.gets_texts(typed.value)
