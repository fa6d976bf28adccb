"""Forms of registration."""

from __future__ import annotations

from typing import Any

from wtforms.validators import StopValidation

from app.authenticators import password
from app.enrollments.methods import method_of
from app.extensions import settings
from app.i18n import N_
from app.register.contact import Contact
from app.web.forms import BaseForm, CheckboxField, PasscodeField, SafeNext, TextField
from app.web.messages import message
from app.web.phone_numbers import PhoneCountryField


def _check_one_contact(form: ContactForm, field: Any) -> None:
    """Require an email or a number, and not both: the account is confirmed by one code."""
    contacts = form.contacts()
    has_input_errors = any(each.process_errors for each in form)
    if not contacts and form.is_contact_needed and not has_input_errors:
        raise StopValidation(message("contact_not_provided" if "phone" in form else "email_not_provided"))
    if len(contacts) > 1:
        raise StopValidation(message("email_or_phone"))


class ContactForm(BaseForm):
    """An email, or a phone number if users can register with one. Pages have one field for either, ``identity``."""

    is_contact_needed = True

    email = TextField(N_("Email"), [_check_one_contact])
    phone = TextField(N_("Phone"))
    identity = TextField(N_("Email or phone"))
    phone_country = PhoneCountryField()

    def __init__(self) -> None:
        super().__init__()
        if not settings.can_register_by_phone:
            del self.phone, self.identity, self.phone_country

    def contacts(self) -> list[Contact]:
        """Return what was entered in these fields."""
        typed = [(name, self[name].data) for name in ("email", "phone", "identity") if name in self]
        country = self.phone_country.region if "phone_country" in self and self.phone_country.data else ""
        return [Contact.from_input(name, text, country) for name, text in typed if text and text.strip()]

    @property
    def contact(self) -> Contact:
        """The contact that was given; an empty email if there is none."""
        return next(iter(self.contacts()), Contact("email", ""))


class RegisterForm(ContactForm):
    """An email or number, and a password if the operator allows one."""

    password = TextField(N_("Password"))
    password_confirm = TextField(N_("Repeat the password"))
    next = TextField(validators=[SafeNext()])

    def __init__(self) -> None:
        super().__init__()
        if not method_of(password.METHOD).is_enabled:
            del self.password, self.password_confirm


class ConfirmForm(ContactForm):
    """An email or number and its confirmation code."""

    passcode = PasscodeField(N_("Code"))
    send_again = CheckboxField(N_("Send a new code"))
    next = TextField(validators=[SafeNext()])
    remember = CheckboxField(N_("Keep me signed in on this device"))
    challenge = TextField()


class InviteForm(ContactForm):
    """The button that accepts an invitation, with an email or number if it was mailed to no one."""

    is_contact_needed = False


class ConfirmLinkForm(BaseForm):
    """The button on a confirmation link's page."""
