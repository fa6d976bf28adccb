"""Forms for account recovery."""

from __future__ import annotations

from app.i18n import N_
from app.web.forms import BaseForm, CheckboxField, ManyField, PasscodeField, Required, TextField


class IdentityForm(BaseForm):
    """The account to recover."""

    identity = TextField(N_("Email, phone or username"), [Required()])


class MailboxForm(BaseForm):
    """The code that verifies the mailbox."""

    identity = TextField(N_("Email, phone or username"), [Required()])
    passcode = PasscodeField(N_("Your code"), [Required()])
    challenge = TextField()


class ProofForm(BaseForm):
    """Proof that the mailbox was just verified, and which methods were lost."""

    proof = TextField(validators=[Required()])
    lost = ManyField(N_("What have you lost?"))


class StopForm(BaseForm):
    """The button with which the signed-in owner cancels."""


class CancelForm(BaseForm):
    """The button behind the email's link, and a checkbox that mail scanners don't check."""

    sure = CheckboxField(N_("I can still sign in, or I didn't request this"))
