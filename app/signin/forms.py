"""Forms of signing in. They check shapes, not proofs."""

from __future__ import annotations

from typing import Any

from flask import request
from wtforms.validators import StopValidation

from app.enrollments.catalog import code_methods
from app.extensions import settings
from app.i18n import N_
from app.web.forms import BaseForm, CheckboxField, CredentialField, PasscodeField, Required, SafeNext, TextField
from app.web.json_body import sends_json
from app.web.messages import message
from app.web.respond import wants_json

ENTER = "enter"
"""Name of the first step's button that the Enter key presses."""


def _required_when_explicit(form: BaseForm, field: Any) -> None:
    """A missing identity is told apart from a wrong one only where the operator wants explicit answers."""
    if not settings.generic_responses:
        Required()(form, field)


class _Provided:
    """As the above, and it is told by the names of a form of address and password."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __call__(self, form: BaseForm, field: Any) -> None:
        """Raise StopValidation with the sentence of ``code`` when the field is empty and answers are explicit."""
        if not settings.generic_responses:
            Required(self.code)(form, field)


def _a_code_method(form: BaseForm, field: Any) -> None:
    """A program says how to send a code; on a page nobody has to."""
    if not field.data and (sends_json() or form.asks_for_method):
        raise StopValidation(message("us_method_not_available"))
    if field.data and field.data not in code_methods():
        raise StopValidation(message("invalid_choice"))


class SignInForm(BaseForm):
    """An identity and what answers for it; clients of a form of address and password send it under those names."""

    other_names = {"email": "identity", "username": "identity", "password": "passcode"}

    identity = TextField(N_("Email, phone or username"), [_required_when_explicit])
    passcode = PasscodeField(N_("Code"))
    remember = CheckboxField(N_("Keep me signed in on this device"))
    next = TextField(validators=[SafeNext()])
    challenge = TextField()
    chosen_method = TextField()
    tf_validity_token = TextField()


class LoginForm(SignInForm):
    """The same at ``/login``, where clients of a form of address and password look for their own names."""

    speaks_other_names = True

    identity = TextField(N_("Email, phone or username"), [_Provided("email_not_provided")])
    passcode = PasscodeField(N_("Code"), [_Provided("password_not_provided")])


class SendCodeForm(BaseForm):
    """An identity and how to reach it; a page may leave the latter to what was typed."""

    asks_for_method = False

    identity = TextField(N_("Email, phone or username"), [Required()])
    chosen_method = TextField(N_("Send the code by"), [_a_code_method])
    passcode = PasscodeField(N_("Code"))
    remember = CheckboxField(N_("Keep me signed in on this device"))
    next = TextField(validators=[SafeNext()])
    challenge = TextField()


class EnterForm(SendCodeForm):
    """The first step as the Enter key sent it, with an identity alone: its button names the method, as one that sends.

    A form has one button for that key, its first. Beside a folded field for a password, that one can mean either.
    """

    other_names = {ENTER: "chosen_method"}


def enter_asks_for_code() -> bool:
    """Return whether the Enter key sent this form of a page, and no passcode was typed: then a code is sent."""
    return not wants_json() and ENTER in request.form and not request.form.get("passcode")


class VerifyForm(BaseForm):
    """A proof that it is still the same person; clients of ``/verify`` call it a password."""

    other_names = {"password": "passcode"}

    passcode = PasscodeField(N_("Code"), [Required()])
    next = TextField(validators=[SafeNext()])
    challenge = TextField()
    chosen_method = TextField()


class VerifySendForm(BaseForm):
    """How to reach the signed-in person."""

    asks_for_method = True

    chosen_method = TextField(N_("Send the code by"), [_a_code_method])
    passcode = PasscodeField(N_("Code"))
    next = TextField(validators=[SafeNext()])
    challenge = TextField()


class LinkForm(BaseForm):
    """A link's page: the token, and the characters that the asking screen shows."""

    token = TextField(validators=[Required()])
    characters = TextField(N_("Characters from the other screen"))


class ContinueForm(BaseForm):
    """Go on where a link was approved elsewhere; what else the page had is shown again."""

    identity = TextField(N_("Email, phone or username"))
    passcode = PasscodeField(N_("Code"))
    remember = CheckboxField(N_("Keep me signed in on this device"))
    next = TextField(validators=[SafeNext()])
    challenge = TextField()
    chosen_method = TextField()


class SecondStepForm(BaseForm):
    """The code of a second step, and whether to skip it here the next times."""

    code = PasscodeField(N_("Code"), [Required()])
    remember = CheckboxField(N_("Don't ask again on this browser"))
    remember_shown = CheckboxField()
    next = TextField(validators=[SafeNext()])
    pending = TextField()


class SelectForm(BaseForm):
    """By which method the second step is taken."""

    which = TextField(N_("How"), [Required()])
    next = TextField(validators=[SafeNext()])
    pending = TextField()


class RecoveryCodeForm(BaseForm):
    """A recovery code in place of the second step."""

    code = TextField(N_("Recovery code"), [Required()])
    next = TextField(validators=[SafeNext()])
    pending = TextField()


class RescueForm(BaseForm):
    """What is to be done instead of the second step."""

    help_setup = TextField(N_("Instead"), [Required()])
    pending = TextField()


class NotMeForm(BaseForm):
    """The button that ends what was asked for, and a box that no machine ticks which only presses buttons."""

    sure = CheckboxField(N_("I didn't request this"))


class LogoutForm(BaseForm):
    """Signing out: of this session, and of the one that gave a refresh token.

    A ``next`` that leads away is no fault here: nobody stays signed in for the sake of a wrong link.
    """

    next = TextField()
    refresh_token = TextField()


class RefreshForm(BaseForm):
    """A refresh token to exchange."""

    refresh_token = TextField(validators=[Required()])


class AskForm(BaseForm):
    """A passkey is asked for; who is named makes no difference."""

    identity = TextField(N_("Email, phone or username"))
    remember = CheckboxField(N_("Keep me signed in on this device"))
    next = TextField(validators=[SafeNext()])
    pending = TextField()


class AnswerForm(BaseForm):
    """What the browser answered."""

    credential = CredentialField(N_("Passkey"), [Required("api_error")])
    remember = CheckboxField(N_("Keep me signed in on this device"))
    next = TextField(validators=[SafeNext()])
    pending = TextField()
