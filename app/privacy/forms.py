"""Forms for the personal data pages."""

from __future__ import annotations

from app.i18n import N_
from app.web.forms import BaseForm, CheckboxField


class ButtonForm(BaseForm):
    """A form with just a button."""


class DeleteForm(BaseForm):
    """The button that closes the account, and a checkbox against accidental clicks."""

    sure = CheckboxField(N_("Delete my account and everything stored about me"))


class KeepForm(BaseForm):
    """The button that keeps the account, and a checkbox that mail scanners don't check."""

    sure = CheckboxField(N_("I want to keep my account"))
