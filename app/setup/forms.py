"""Forms of setting up."""

from __future__ import annotations

from app.web.forms import HouseForm, ManyField, PasscodeField, Required, TextField, TickField


class SetupForm(HouseForm):
    """A method to add, methods to remove, or both."""

    chosen_method = TextField("Add")
    delete_method = ManyField("Remove")
    phone = TextField("Phone number")


class SecondSetupForm(HouseForm):
    """A second factor to set up, or ``disable``."""

    setup = TextField("Second step", [Required()])
    phone = TextField("Phone number")
    existing = TickField("Use what is set up already")
    pending = TextField()


class SecondCodeForm(HouseForm):
    """The code that proves a second factor, and what to call it if it is an authenticator app."""

    code = PasscodeField("Code", [Required()])
    name = TextField("Name")


class ProveForm(HouseForm):
    """The passcode that proves an enrollment; for a password, the password itself. An authenticator app has a name."""

    passcode = PasscodeField("Code", [Required()])
    name = TextField("Name")


class RenameAppForm(HouseForm):
    """An authenticator app and another name for it."""

    id = TextField("Authenticator app", [Required("authenticator_not_found")])
    name = TextField("Name", [Required("authenticator_name_required")])


class RemoveAppForm(HouseForm):
    """An authenticator app to remove."""

    id = TextField("Authenticator app", [Required("authenticator_not_found")])


class CodesForm(HouseForm):
    """A button that makes recovery codes."""


class KeptCodesForm(HouseForm):
    """Recovery codes as the page has just shown them, to be given back as a file."""

    recovery_codes = ManyField()
