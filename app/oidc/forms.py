"""Forms of the authorization pages, the device pages and the list of apps."""

from __future__ import annotations

from wtforms.validators import Length
from wtforms.widgets import HiddenInput

from app.i18n import N_
from app.oidc.models import MAX_CLIENT_ID_LENGTH
from app.user_input import MAX_LENGTH
from app.web.forms import BaseForm, Required, TextField


class RequestForm(BaseForm):
    """Identifies the authorization request that a page is about."""

    request = TextField(widget=HiddenInput(), validators=[Required(), Length(max=32)])


class ConsentForm(RequestForm):
    """The user's decision: ``yes``, or anything else for no."""

    allow = TextField(validators=[Length(max=8)])


class DeviceForm(BaseForm):
    """The code that a device shows."""

    user_code = TextField(N_("Code"), validators=[Required(), Length(max=MAX_LENGTH)])


class DeviceDecisionForm(DeviceForm):
    """Whether the device may sign in: ``yes``, or anything else for no."""

    allow = TextField(validators=[Required(), Length(max=8)])


class AppForm(BaseForm):
    """Identifies an app by its client id."""

    client = TextField(widget=HiddenInput(), validators=[Required(), Length(max=MAX_CLIENT_ID_LENGTH)])


class LogoutForm(BaseForm):
    """Sign-out, requested by an app or not. Its fields are validated like those of the app's own request."""

    client_id = TextField()
    post_logout_redirect_uri = TextField()
    state = TextField()
