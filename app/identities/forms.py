"""Forms of email addresses, phone numbers and usernames."""

from __future__ import annotations

from wtforms.validators import StopValidation

from app.i18n import N_
from app.web.forms import BaseForm, CheckboxField, PasscodeField, Required, TextField
from app.web.messages import message


class AddressForm(BaseForm):
    """An e-mail address: a new one, or one of one's own."""

    email = TextField(N_("Email"), [Required("email_not_provided")])
    challenge = TextField()


class CodeForm(BaseForm):
    """The code in the mail that went to a new address."""

    passcode = PasscodeField(N_("Code"), [Required()])
    challenge = TextField()


class RemoveForm(BaseForm):
    """What is to be removed: an address, or the number, or the username."""

    email = TextField(N_("Email"))
    phone = TextField(N_("Phone number"))
    username = TextField(N_("Username"))


class UsernameForm(BaseForm):
    """A username to go by."""

    username = TextField(N_("Username"), [Required()])


class NameForm(BaseForm):
    """What to be called; nothing takes the name away."""

    name = TextField(N_("Name"))

    def validate_name(self, field: TextField) -> None:
        """Raise StopValidation for no name at all: only an empty one says that there should be none."""
        if field.data is None:
            raise StopValidation(message("required"))


class UndoForm(BaseForm):
    """The button that undoes a change, with the tick that keeps machines from pressing it."""

    sure = CheckboxField(N_("Yes, undo the changes to my email"))
