"""Forms of the console."""

from __future__ import annotations

from app.i18n import N_
from app.web.forms import BaseForm, CheckboxField, Required, TextField


class GroupForm(BaseForm):
    """A group that an account joins."""

    group = TextField(N_("Group"), [Required()])


class EraseForm(BaseForm):
    """Erase an account at once."""

    sure = CheckboxField(N_("Delete this account now, with everything stored about its owner"))


class SignOutForm(BaseForm):
    """End all sessions of an account."""

    tokens = CheckboxField(N_("Revoke API tokens and apps' access, too"))


class RetryForm(BaseForm):
    """Send messages again that were given up: all, or those that a channel or destination names."""

    channel = TextField(N_("Channel"))
    destination = TextField(N_("Mail domain"))
