"""Forms of account recovery."""

from __future__ import annotations

from app.web.forms import BaseForm, CheckboxField, ManyField, PasscodeField, Required, TextField


class IdentityForm(BaseForm):
    """Whose account it is."""

    identity = TextField("E-mail, phone or username", [Required()])


class MailboxForm(BaseForm):
    """The code that verifies the mailbox."""

    identity = TextField("E-mail, phone or username", [Required()])
    passcode = PasscodeField("Your code", [Required()])
    challenge = TextField()


class ProofForm(BaseForm):
    """Proof that the mailbox was verified just now, and what was lost."""

    proof = TextField(validators=[Required()])
    lost = ManyField("What you have lost")


class StopForm(BaseForm):
    """The button with which the signed-in owner cancels."""


class CancelForm(BaseForm):
    """The button behind the email's link, and a box that mail scanners don't tick."""

    sure = CheckboxField("Cancel it: I still have my ways in, or did not ask for this")
