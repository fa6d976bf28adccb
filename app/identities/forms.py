"""Forms of email addresses, phone numbers and usernames."""

from __future__ import annotations

from app.web.forms import BaseForm, CheckboxField, PasscodeField, Required, TextField


class AddressForm(BaseForm):
    """An e-mail address: a new one, or one of one's own."""

    email = TextField("E-mail", [Required("email_not_provided")])
    challenge = TextField()


class CodeForm(BaseForm):
    """The code in the mail that went to a new address."""

    passcode = PasscodeField("Code", [Required()])
    challenge = TextField()


class RemoveForm(BaseForm):
    """What is to be removed: an address, or the number, or the username."""

    email = TextField("E-mail")
    phone = TextField("Phone number")
    username = TextField("Username")


class UsernameForm(BaseForm):
    """A username to go by."""

    username = TextField("Username", [Required()])


class UndoForm(BaseForm):
    """The button that undoes a change, with the tick that keeps machines from pressing it."""

    sure = CheckboxField("Yes, undo what was done to my addresses")
