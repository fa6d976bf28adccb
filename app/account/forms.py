"""Forms of the account pages."""

from __future__ import annotations

from wtforms import StringField

from app.web.forms import BaseForm, ManyField, Required, TextField, TypedField


class ButtonForm(BaseForm):
    """A button, and nothing to fill in."""


class NumberField(TypedField, StringField):  # type: ignore[misc]
    """A whole number: as text from a form, either way from a program."""

    accepts = (str, int)


class TokenForm(BaseForm):
    """A personal token to make."""

    name = TextField("Name", [Required()])
    scopes = ManyField("What it may be used for", [Required("token_scope_unknown")])
    expires_in_days = NumberField("How long it works", [Required()])
