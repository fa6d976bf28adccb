"""Forms of registration."""

from __future__ import annotations

from app.authenticators import password
from app.enrollments.catalog import method_of
from app.i18n import N_
from app.web.forms import BaseForm, CheckboxField, PasscodeField, Required, SafeNext, TextField


class RegisterForm(BaseForm):
    """An email, and a password where the operator allows one."""

    email = TextField(N_("Email"), [Required("email_not_provided")])
    password = TextField(N_("Password"))
    password_confirm = TextField(N_("Repeat the password"))
    next = TextField(validators=[SafeNext()])

    def __init__(self) -> None:
        super().__init__()
        if not method_of(password.METHOD).is_enabled:
            del self.password, self.password_confirm


class ConfirmForm(BaseForm):
    """An address and its confirmation code."""

    email = TextField(N_("Email"), [Required("email_not_provided")])
    passcode = PasscodeField(N_("Code"))
    send_again = CheckboxField(N_("Send a new code"))
    next = TextField(validators=[SafeNext()])
    remember = CheckboxField(N_("Keep me signed in on this device"))
    challenge = TextField()


class InviteForm(BaseForm):
    """The button that accepts an invitation, with an email where it is mailed to nobody."""

    email = TextField(N_("Email"))


class ConfirmLinkForm(BaseForm):
    """The button on a confirmation link's page."""
