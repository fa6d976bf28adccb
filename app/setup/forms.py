"""Forms of setting up sign-in methods."""

from __future__ import annotations

from app.errors import Rejected
from app.i18n import N_
from app.users import identifiers
from app.web.forms import BaseForm, CheckboxField, CredentialField, ManyField, PasscodeField, Required, TextField
from app.web.phone_numbers import PhoneCountryField


class _PhoneForm(BaseForm):
    """A phone number, and the country of one typed without +."""

    phone = TextField(N_("Phone number"))
    phone_country = PhoneCountryField()

    @property
    def number(self) -> str | None:
        """The number in E.164 where a country is chosen for it, and as typed otherwise.

        :raises Rejected: ``phone_invalid`` on ``phone`` when that country has no such number
        """
        typed, country = self.phone.data, self.phone_country.data
        if not typed or not country:
            return typed  # type: ignore[no-any-return]
        try:
            return identifiers.phone(typed, self.phone_country.region)
        except identifiers.InvalidIdentifier:
            raise Rejected("phone_invalid", field="phone") from None


class SetupForm(_PhoneForm):
    """A method to add, methods to remove, or both."""

    chosen_method = TextField(N_("Add"))
    delete_method = ManyField(N_("Remove"))


class SecondSetupForm(_PhoneForm):
    """A second factor to set up, or ``disable``."""

    setup = TextField(N_("Second step"), [Required()])
    existing = CheckboxField(N_("Use the method I've already set up"))
    pending = TextField()


class SecondCodeForm(BaseForm):
    """The code that proves a second factor, and what to call it if it is an authenticator app."""

    code = PasscodeField(N_("Code"), [Required()])
    name = TextField(N_("Name"))


class ProveForm(BaseForm):
    """The passcode that proves an enrollment; for a password, the password itself. An authenticator app has a name."""

    passcode = PasscodeField(N_("Code"), [Required()])
    name = TextField(N_("Name"))


class RenameAppForm(BaseForm):
    """An authenticator app and another name for it."""

    id = TextField(N_("Authenticator app"), [Required("authenticator_not_found")])
    name = TextField(N_("Name"), [Required("authenticator_name_required")])


class RemoveAppForm(BaseForm):
    """An authenticator app to remove."""

    id = TextField(N_("Authenticator app"), [Required("authenticator_not_found")])


class CodesForm(BaseForm):
    """A button that makes recovery codes."""


class KeptCodesForm(BaseForm):
    """Recovery codes as the page has just shown them, to be given back as a file."""

    recovery_codes = ManyField()


class MakeForm(BaseForm):
    """A passkey to be made."""

    name = TextField(N_("Name"))
    usage = TextField(N_("Used for"))


class MadeForm(BaseForm):
    """What the browser made."""

    credential = CredentialField(N_("Passkey"), [Required("api_error")])


class RenameForm(BaseForm):
    """A passkey and another name for it."""

    name = TextField(N_("Passkey"), [Required("webauthn_name_required")])
    new_name = TextField(N_("New name"), [Required("webauthn_name_required")])


class RemoveForm(BaseForm):
    """A passkey to remove."""

    name = TextField(N_("Passkey"), [Required("webauthn_name_required")])
