"""Forms of the personal data pages."""

from __future__ import annotations

from app.i18n import N_
from app.web.forms import BaseForm, CheckboxField


class ButtonForm(BaseForm):
    """A button, and nothing to fill in."""


class DeleteForm(BaseForm):
    """The button that closes the account, and a box against slips."""

    sure = CheckboxField(N_("Delete my account and everything stored about me"))


class KeepForm(BaseForm):
    """The button that keeps the account, and a box that mail scanners don't tick."""

    sure = CheckboxField(N_("I want to keep my account"))
