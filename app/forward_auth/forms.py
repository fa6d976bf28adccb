"""Forms of the pages between a user and a protected app."""

from __future__ import annotations

from wtforms.validators import Length
from wtforms.widgets import HiddenInput

from app.forward_auth.models import MAX_HOST_LENGTH
from app.web.forms import BaseForm, Required, TextField


class SwitchForm(BaseForm):
    """Signing out to use another account at an app. The fields are those of ``/gate/continue``."""

    app = TextField(widget=HiddenInput(), validators=[Required(), Length(max=MAX_HOST_LENGTH)])
    to = TextField(widget=HiddenInput(), validators=[Length(max=2048)])
    state = TextField(widget=HiddenInput(), validators=[Required(), Length(max=64)])
