"""Forms of account recovery."""

from __future__ import annotations

from app.web.forms import BaseForm, CheckboxField, ManyField, PasscodeField, Required, TextField


class WhoForm(BaseForm):
    """Whose account it is."""

    identity = TextField("E-mail, phone or username", [Required()])


class MailboxForm(BaseForm):
    """The code that proves the mailbox."""

    identity = TextField("E-mail, phone or username", [Required()])
    passcode = PasscodeField("Your code", [Required()])
    challenge = TextField()


class ProvedForm(BaseForm):
    """That the mailbox was proved just now, and what was lost."""

    proof = TextField(validators=[Required()])
    lost = ManyField("What you have lost")


class StopForm(BaseForm):
    """The button with which somebody signed in cancels."""


class CancelForm(BaseForm):
    """The button of the mail's link, and a box that no machine ticks which only presses buttons."""

    sure = CheckboxField("Cancel it: I still have my ways in, or did not ask for this")
