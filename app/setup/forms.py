"""Forms of setting up."""

from __future__ import annotations

from app.web.forms import HouseForm, ManyField, PasscodeField, Required, TextField


class SetupForm(HouseForm):
    """A method to add, methods to remove, or both."""

    chosen_method = TextField("Add")
    delete_method = ManyField("Remove")
    phone = TextField("Phone number")


class ProveForm(HouseForm):
    """The passcode that proves an enrollment; for a password, the password itself."""

    passcode = PasscodeField("Code", [Required()])
