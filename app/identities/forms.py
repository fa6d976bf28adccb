"""Forms for email addresses, phone numbers and usernames."""

from __future__ import annotations

from wtforms.validators import StopValidation

from app.i18n import N_
from app.web.forms import BaseForm, CheckboxField, PasscodeField, Required, TextField
from app.web.messages import message


class AddressForm(BaseForm):
    """An email address: a new one, or one of the user's own."""

    email = TextField(N_("Email"), [Required("email_not_provided")])
    challenge = TextField()


class CodeForm(BaseForm):
    """The code in the email sent to a new address."""

    passcode = PasscodeField(N_("Code"), [Required()])
    challenge = TextField()


class RemoveForm(BaseForm):
    """The identity to remove: an address, the phone number, or the username."""

    email = TextField(N_("Email"))
    phone = TextField(N_("Phone number"))
    username = TextField(N_("Username"))


class UsernameForm(BaseForm):
    """A username to set."""

    username = TextField(N_("Username"), [Required()])


class NameForm(BaseForm):
    """The display name; empty to remove it."""

    name = TextField(N_("Name"))

    def validate_name(self, field: TextField) -> None:
        """Raise StopValidation if the field is missing: only an explicit empty value removes the name."""
        if field.data is None:
            raise StopValidation(message("required"))


class UndoForm(BaseForm):
    """The button that undoes a change, with a checkbox so that mail scanners don't trigger it."""

    sure = CheckboxField(N_("Yes, undo the changes to my email"))
