"""Forms for setting up sign-in methods."""

from __future__ import annotations

from app.errors import Rejected
from app.i18n import N_
from app.users import identifiers
from app.web.forms import BaseForm, CheckboxField, CredentialField, ManyField, PasscodeField, Required, TextField
from app.web.phone_numbers import PhoneCountryField


class _PhoneForm(BaseForm):
    """A phone number, and the country of a number typed without +."""

    phone = TextField(N_("Phone number"))
    phone_country = PhoneCountryField()

    @property
    def number(self) -> str | None:
        """The number in E.164 if a country was chosen, else as typed.

        :raises Rejected: ``phone_invalid`` on ``phone`` if that country has no such number
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
    """The code that verifies a second factor, and a name if it is an authenticator app."""

    code = PasscodeField(N_("Code"), [Required()])
    name = TextField(N_("Name"))


class VerifyEnrollmentForm(BaseForm):
    """The passcode that verifies an enrollment, or the new password itself; and a name for an authenticator app."""

    passcode = PasscodeField(N_("Code"), [Required()])
    name = TextField(N_("Name"))


class RenameAppForm(BaseForm):
    """An authenticator app to rename."""

    id = TextField(N_("Authenticator app"), [Required("authenticator_not_found")])
    name = TextField(N_("Name"), [Required("authenticator_name_required")])


class RemoveAppForm(BaseForm):
    """An authenticator app to remove."""

    id = TextField(N_("Authenticator app"), [Required("authenticator_not_found")])


class CodesForm(BaseForm):
    """The button that creates recovery codes."""


class DownloadCodesForm(BaseForm):
    """Recovery codes that the page has just shown, sent back to be downloaded as a file."""

    recovery_codes = ManyField()


class RegisterPasskeyForm(BaseForm):
    """A passkey to create."""

    name = TextField(N_("Name"))
    usage = TextField(N_("Used for"))


class PasskeyResponseForm(BaseForm):
    """The credential created by the browser."""

    credential = CredentialField(N_("Passkey"), [Required("api_error")])


class RenameForm(BaseForm):
    """A passkey to rename."""

    name = TextField(N_("Passkey"), [Required("webauthn_name_required")])
    new_name = TextField(N_("New name"), [Required("webauthn_name_required")])


class RemoveForm(BaseForm):
    """A passkey to remove."""

    name = TextField(N_("Passkey"), [Required("webauthn_name_required")])
