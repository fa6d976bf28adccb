"""Forms of addresses, numbers and usernames."""

from __future__ import annotations

from app.web.forms import HouseForm, PasscodeField, Required, TextField, TickField


class AddressForm(HouseForm):
    """An e-mail address: a new one, or one of one's own."""

    email = TextField("E-mail", [Required("email_not_provided")])
    challenge = TextField()


class CodeForm(HouseForm):
    """The code in the mail that went to a new address."""

    passcode = PasscodeField("Code", [Required()])
    challenge = TextField()


class RemoveForm(HouseForm):
    """What is to be removed: an address, or the number, or the username."""

    email = TextField("E-mail")
    phone = TextField("Phone number")
    username = TextField("Username")


class UsernameForm(HouseForm):
    """A username to go by."""

    username = TextField("Username", [Required()])


class UndoForm(HouseForm):
    """The button that undoes a change, with the tick that keeps machines from pressing it."""

    sure = TickField("Yes, undo what was done to my addresses")
