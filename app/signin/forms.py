"""Sign-in forms. They validate only the format of fields; passcodes are verified elsewhere."""

from __future__ import annotations

from typing import Any

from flask import request
from wtforms.validators import StopValidation

from app.enrollments.methods import code_methods
from app.extensions import settings
from app.i18n import N_
from app.web.forms import BaseForm, CheckboxField, CredentialField, PasscodeField, Required, SafeNext, TextField
from app.web.json_body import sends_json
from app.web.messages import message
from app.web.respond import wants_json

ENTER = "enter"
"""Name of the first step's button that the Enter key presses."""


def _required_when_explicit(form: BaseForm, field: Any) -> None:
    """Report a missing identity differently from a wrong one only if explicit responses are enabled."""
    if not settings.generic_responses:
        Required()(form, field)


class _Provided:
    """Like ``_required_when_explicit``, with an error code for clients that send ``email`` and ``password``."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __call__(self, form: BaseForm, field: Any) -> None:
        """Raise StopValidation with the message of ``code`` if the field is empty and responses are explicit."""
        if not settings.generic_responses:
            Required(self.code)(form, field)


def _validate_code_method(form: BaseForm, field: Any) -> None:
    """Check that the method can send codes. API clients must name one; on pages it's optional unless required."""
    if not field.data and (sends_json() or form.asks_for_method):
        raise StopValidation(message("us_method_not_available"))
    if field.data and field.data not in code_methods():
        raise StopValidation(message("invalid_choice"))


class SignInForm(BaseForm):
    """An identity and a passcode. Clients with email and password fields may use those names."""

    aliases = {"email": "identity", "username": "identity", "password": "passcode"}

    identity = TextField(N_("Email, phone or username"), [_required_when_explicit])
    passcode = PasscodeField(N_("Code"))
    remember = CheckboxField(N_("Keep me signed in on this device"))
    next = TextField(validators=[SafeNext()])
    challenge = TextField()
    chosen_method = TextField()
    tf_validity_token = TextField()


class LoginForm(SignInForm):
    """The sign-in form at ``/login``, which reports errors under the field names ``email`` and ``password``."""

    report_by_alias = True

    identity = TextField(N_("Email, phone or username"), [_Provided("email_not_provided")])
    passcode = PasscodeField(N_("Code"), [_Provided("password_not_provided")])


class SendCodeForm(BaseForm):
    """An identity and the method to send a code by. On pages, the method may follow from the identity."""

    asks_for_method = False

    identity = TextField(N_("Email, phone or username"), [Required()])
    chosen_method = TextField(N_("Send the code by"), [_validate_code_method])
    passcode = PasscodeField(N_("Code"))
    remember = CheckboxField(N_("Keep me signed in on this device"))
    next = TextField(validators=[SafeNext()])
    challenge = TextField()


class EnterForm(SendCodeForm):
    """The first step, submitted with the Enter key and without a password. Its button's value names the method.

    Enter submits a form by its first button. If the form also has a folded password field, Enter can mean sending a
    code or signing in, so that button has a name of its own.
    """

    aliases = {ENTER: "chosen_method"}


def enter_asks_for_code() -> bool:
    """Return whether a page's form was submitted with the Enter key and no passcode, which requests a code."""
    return not wants_json() and ENTER in request.form and not request.form.get("passcode")


class VerifyForm(BaseForm):
    """A passcode to reauthenticate. Clients of ``/verify`` call it a password."""

    aliases = {"password": "passcode"}

    passcode = PasscodeField(N_("Code"), [Required()])
    next = TextField(validators=[SafeNext()])
    challenge = TextField()
    chosen_method = TextField()


class VerifySendForm(BaseForm):
    """The method to send the signed-in user a code by."""

    asks_for_method = True

    chosen_method = TextField(N_("Send the code by"), [_validate_code_method])
    passcode = PasscodeField(N_("Code"))
    next = TextField(validators=[SafeNext()])
    challenge = TextField()


class LinkForm(BaseForm):
    """A magic link's token, and the confirmation characters shown in the requesting browser."""

    token = TextField(validators=[Required()])
    characters = TextField(N_("Characters from the other screen"))


class ContinueForm(BaseForm):
    """Continue after a link was approved on another device. The other fields are kept to show the page again."""

    identity = TextField(N_("Email, phone or username"))
    passcode = PasscodeField(N_("Code"))
    remember = CheckboxField(N_("Keep me signed in on this device"))
    next = TextField(validators=[SafeNext()])
    challenge = TextField()
    chosen_method = TextField()


class SecondStepForm(BaseForm):
    """The code of a second factor, and whether to trust this browser."""

    code = PasscodeField(N_("Code"), [Required()])
    remember = CheckboxField(N_("Don't ask again on this browser"))
    remember_shown = CheckboxField()
    next = TextField(validators=[SafeNext()])
    pending = TextField()


class SelectForm(BaseForm):
    """The method for the second factor."""

    which = TextField(N_("How"), [Required()])
    next = TextField(validators=[SafeNext()])
    pending = TextField()


class RecoveryCodeForm(BaseForm):
    """A recovery code used as the second factor."""

    code = TextField(N_("Recovery code"), [Required()])
    next = TextField(validators=[SafeNext()])
    pending = TextField()


class RescueForm(BaseForm):
    """An alternative to the second factor."""

    help_setup = TextField(N_("Instead"), [Required()])
    pending = TextField()


class NotMeForm(BaseForm):
    """The button that cancels a request, and a checkbox that bots don't tick if they only press buttons."""

    sure = CheckboxField(N_("I didn't request this"))


class LogoutForm(BaseForm):
    """Sign out of this session, and of the one that issued a refresh token.

    An unsafe ``next`` is not an error here: a bad link must not keep anyone signed in.
    """

    next = TextField()
    refresh_token = TextField()


class RefreshForm(BaseForm):
    """A refresh token to exchange."""

    refresh_token = TextField(validators=[Required()])


class PasskeyRequestForm(BaseForm):
    """Request a passkey. The identity makes no difference."""

    identity = TextField(N_("Email, phone or username"))
    remember = CheckboxField(N_("Keep me signed in on this device"))
    next = TextField(validators=[SafeNext()])
    pending = TextField()


class PasskeySignInForm(BaseForm):
    """The browser's response to a passkey request."""

    credential = CredentialField(N_("Passkey"), [Required("api_error")])
    remember = CheckboxField(N_("Keep me signed in on this device"))
    next = TextField(validators=[SafeNext()])
    pending = TextField()
