"""Forms of the personal data pages."""

from __future__ import annotations

from app.web.forms import BaseForm, CheckboxField


class ButtonForm(BaseForm):
    """A button, and nothing to fill in."""


class DeleteForm(BaseForm):
    """The button that closes the account, and a box against slips."""

    sure = CheckboxField("Delete my account and everything that is kept about me")


class KeepForm(BaseForm):
    """The button that keeps the account, and a box that mail scanners don't tick."""

    sure = CheckboxField("I want to keep my account")
