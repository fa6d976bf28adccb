"""Forms of the personal data pages."""

from __future__ import annotations

from app.web.forms import BaseForm, CheckboxField


class ButtonForm(BaseForm):
    """A button, and nothing to fill in."""


class LeaveForm(BaseForm):
    """The button that closes the account, and a box so that nobody presses it by a slip."""

    sure = CheckboxField("Delete my account and everything that is kept about me")


class KeepForm(BaseForm):
    """The button that keeps the account, and a box that no machine ticks which only presses buttons."""

    sure = CheckboxField("I want to keep my account")
