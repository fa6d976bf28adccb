"""Forms of the console."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from wtforms.widgets import TextInput

from app.i18n import N_
from app.web.forms import BaseForm, CheckboxField, ManyField, NumberField, Required, TextField


class LinesField(ManyField):
    """Several texts without blanks: a list from a program, or from a form one in a line."""

    def process_formdata(self, valuelist: Sequence[Any]) -> None:
        """Take each text of each value. Raises ValueError with our sentence when one is no text."""
        texts = [text for value in valuelist for text in (value.split() if type(value) is str else [value])]
        super().process_formdata(texts)


class GroupForm(BaseForm):
    """A group that an account joins."""

    group = TextField(N_("Group"), [Required()])


class EraseForm(BaseForm):
    """Erase an account at once."""

    sure = CheckboxField(N_("Delete this account now, with everything stored about its owner"))


class ConfirmForm(BaseForm):
    """Something that can't be undone."""

    sure = CheckboxField(N_("I'm sure. This can't be undone."))


class NamesField(ManyField):
    """Several names: a list from a program, in one line from a page."""

    widget = TextInput()

    def _value(self) -> str:
        return " ".join(self.data or ())


class WebhookForm(BaseForm):
    """An endpoint to which events are posted."""

    url = TextField(N_("Address"), [Required()])
    events = NamesField(N_("Events"), [Required("webhook_events_missing")])

    def patterns(self) -> list[str]:
        """Return the types that it gets; a text may name several."""
        return [each for text in self.events.data or () for each in re.split(r"[\s,]+", text) if each]


class SignOutForm(BaseForm):
    """End all sessions of an account."""

    tokens = CheckboxField(N_("Revoke API tokens and apps' access, too"))


class RetryForm(BaseForm):
    """Send messages again that were given up: all, or those that a channel or destination names."""

    channel = TextField(N_("Channel"))
    destination = TextField(N_("Mail domain"))


class NewGroupForm(BaseForm):
    """A group to create."""

    name = TextField(N_("Name"), [Required()])
    title = TextField(N_("Title"))


class MemberForm(BaseForm):
    """An account that joins a group."""

    identity = TextField(N_("Person"), [Required()])


class DeleteGroupForm(BaseForm):
    """Delete a group."""

    sure = CheckboxField(N_("Delete this group and take it from all its members"))


class NewClientForm(BaseForm):
    """An app that is to sign people in here."""

    name = TextField(N_("Name"), [Required()])
    client_id = TextField(N_("Client ID"))
    kind = TextField(N_("Type"))
    redirect_uris = LinesField(N_("Redirect URIs"))
    post_logout_redirect_uris = LinesField(N_("Redirect URIs after signing out"))
    groups = LinesField(N_("Groups"))
    trusted = CheckboxField(N_("Don't ask people for consent"))


class ClientForm(BaseForm):
    """What is done to a client."""

    client = TextField(N_("Client ID"), [Required()])


class RotateForm(ClientForm):
    """A new secret for a client."""

    overlap = TextField(N_("Accept the old secret for"))


class DeleteClientForm(ClientForm):
    """Delete a client."""

    sure = CheckboxField(N_("Delete this app, its tokens and what people allowed it"))


class InvitationForm(BaseForm):
    """An invitation: whom it is mailed to, how many may accept it, until when, and into which groups."""

    email = TextField(N_("Email"))
    uses = NumberField(N_("How many people can accept the link"))
    expires_in_days = NumberField(N_("Days until it expires"))
    groups = ManyField(N_("Groups to join"))
    language = TextField(N_("Language of the email"))
