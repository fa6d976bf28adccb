"""What a user registers with: an email, or a phone number if the operator allows that."""

from __future__ import annotations

from dataclasses import dataclass

from app.authenticators.sent_codes import EmailCode, SmsCode
from app.challenges.models import Challenge
from app.challenges.send_limits import may_be_texted
from app.enrollments.methods import method_of
from app.errors import Rejected
from app.extensions import settings
from app.users import TypedIdentity, identifiers, registration
from app.users.lookup import in_words


@dataclass(frozen=True, slots=True)
class Contact:
    """What was entered, and in which field: ``email``, ``phone``, or ``identity`` for either.

    :ivar country: country of a number entered without + (ISO 3166, two letters), or "" for the operator's
    """

    field: str
    text: str
    country: str = ""

    @classmethod
    def from_input(cls, field: str, text: str, country: str) -> Contact:
        """Return what was entered. A number with a country becomes E.164: later forms don't repeat the country."""
        contact = cls(field, text, country)
        if not country or contact._is_email():
            return contact
        try:
            return cls(field, identifiers.phone(text, country))
        except identifiers.InvalidIdentifier:
            return contact  # ``read`` rejects it

    def read(self) -> TypedIdentity:
        """Return the canonical email or number. Only its format is checked, so an error reveals no account.

        :raises Rejected: ``invalid_email_address``, ``phone_invalid``, or ``identity_invalid`` if it is neither
        """
        try:
            if self._is_email():
                return TypedIdentity("email", identifiers.email(self.text))
            return TypedIdentity("phone", identifiers.phone(self.text, self.country or settings.phone_region_default))
        except identifiers.InvalidIdentifier as invalid:
            if self.field == "identity" and "@" not in self.text and not any(map(str.isdigit, self.text)):
                raise Rejected("identity_invalid", field=self.field, kinds=in_words(["email", "phone"])) from None
            code = "invalid_email_address" if invalid.kind == "email" else "phone_invalid"
            raise Rejected(code, field=self.field) from None

    def read_new(self, *, invited: bool) -> TypedIdentity:
        """Like ``read``, but also check that an account can be created. Errors only depend on what was entered.

        :param invited: whether there is an invitation that is shared by hand
        :raises Rejected: like ``read`` and ``registration.check``; ``phone_country_unavailable``
        """
        typed = self.read()
        registration.check(typed, self.field, invited=invited)
        if typed.kind == "phone" and not may_be_texted(typed.value):
            raise Rejected("phone_country_unavailable", field=self.field)
        return typed

    def _is_email(self) -> bool:
        return self.field == "email" or (self.field == "identity" and "@" in self.text)


def method_for(typed: TypedIdentity) -> str:
    """Return the method that sends codes to ``typed``."""
    return next(name for name in (EmailCode.name, SmsCode.name) if method_of(name).reaches == typed.kind)


def is_by_phone(challenge: Challenge) -> bool:
    """Return whether a confirmation was sent by text message."""
    return method_of(challenge.method).reaches == "phone"
