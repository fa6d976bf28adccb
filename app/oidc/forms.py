"""Forms of the pages that stand between an app and its answer."""

from __future__ import annotations

from wtforms.validators import Length
from wtforms.widgets import HiddenInput

from app.web.forms import BaseForm, Required, TextField


class RequestForm(BaseForm):
    """Names the authorization request that a page is about."""

    request = TextField(widget=HiddenInput(), validators=[Required(), Length(max=32)])


class ConsentForm(RequestForm):
    """Whether the person allows it: ``yes``, or anything else for no."""

    allow = TextField(validators=[Length(max=8)])
