"""Forms of signing in with a passkey: shapes, not proofs."""

from __future__ import annotations

from app.web.forms import CredentialField, HouseForm, Required, SafeNext, TextField, TickField


class AskForm(HouseForm):
    """A passkey is asked for; who is named makes no difference."""

    identity = TextField("E-mail, phone or username")
    remember = TickField("Keep me signed in on this browser")
    next = TextField(validators=[SafeNext()])
    pending = TextField()


class AnswerForm(HouseForm):
    """What the browser answered."""

    credential = CredentialField("Passkey", [Required("api_error")])
    remember = TickField("Keep me signed in on this browser")
    next = TextField(validators=[SafeNext()])
    pending = TextField()
