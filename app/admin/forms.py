"""Forms of the console."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from wtforms.widgets import TextInput

from app.i18n import N_
from app.web.forms import BaseForm, CheckboxField, ManyField, NumberField, Required, TextField


class LinesField(ManyField):
    """List of strings without whitespace: a JSON list from an API client, or one per line from a form."""

    def process_formdata(self, valuelist: Sequence[Any]) -> None:
        """Collect the strings of each value. Raises ValueError with a message for the user when one isn't a string."""
        texts = [text for value in valuelist for text in (value.split() if type(value) is str else [value])]
        super().process_formdata(texts)


class GroupForm(BaseForm):
    """Add the account to a group."""

    group = TextField(N_("Group"), [Required()])


class EraseForm(BaseForm):
    """Erase an account immediately."""

    sure = CheckboxField(N_("Delete this account now, with everything stored about its owner"))


class ConfirmForm(BaseForm):
    """Confirm an action that can't be undone."""

    sure = CheckboxField(N_("I'm sure. This can't be undone."))


class NamesField(ManyField):
    """List of names: a JSON list from an API client, or a single line from a page."""

    widget = TextInput()

    def _value(self) -> str:
        return " ".join(self.data or ())


class WebhookForm(BaseForm):
    """A webhook endpoint."""

    url = TextField(N_("Address"), [Required()])
    events = NamesField(N_("Events"), [Required("webhook_events_missing")])

    def patterns(self) -> list[str]:
        """Return the event types it subscribes to; one value may contain several."""
        return [each for text in self.events.data or () for each in re.split(r"[\s,]+", text) if each]


class SignOutForm(BaseForm):
    """End all sessions of an account."""

    tokens = CheckboxField(N_("Revoke API tokens and apps' access, too"))


class RetryForm(BaseForm):
    """Retry messages that were given up: all of them, or those of a channel or destination."""

    channel = TextField(N_("Channel"))
    destination = TextField(N_("Mail domain"))


class NewGroupForm(BaseForm):
    """Create a group."""

    name = TextField(N_("Name"), [Required()])
    title = TextField(N_("Title"))


class MemberForm(BaseForm):
    """Add an account to the group."""

    identity = TextField(N_("Person"), [Required()])


class DeleteGroupForm(BaseForm):
    """Delete a group."""

    sure = CheckboxField(N_("Delete this group and take it from all its members"))


class NewClientForm(BaseForm):
    """Add an app that signs people in through this service."""

    name = TextField(N_("Name"), [Required()])
    client_id = TextField(N_("Client ID"))
    kind = TextField(N_("Type"))
    redirect_uris = LinesField(N_("Redirect URIs"))
    post_logout_redirect_uris = LinesField(N_("Redirect URIs after signing out"))
    groups = LinesField(N_("Groups"))
    trusted = CheckboxField(N_("Don't ask people for consent"))


class ClientForm(BaseForm):
    """An action on a client."""

    client = TextField(N_("Client ID"), [Required()])


class RotateForm(ClientForm):
    """Rotate a client's secret."""

    overlap = TextField(N_("Accept the old secret for"))


class DeleteClientForm(ClientForm):
    """Delete a client."""

    sure = CheckboxField(N_("Delete this app, its tokens and what people allowed it"))


class InvitationForm(BaseForm):
    """Create an invitation: its recipient, how many people can accept it, its expiry, and the groups they join."""

    email = TextField(N_("Email"))
    uses = NumberField(N_("How many people can accept the link"))
    expires_in_days = NumberField(N_("Days until it expires"))
    groups = ManyField(N_("Groups to join"))
    language = TextField(N_("Language of the email"))
