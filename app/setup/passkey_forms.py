"""Forms of passkeys: shapes, not proofs."""

from __future__ import annotations

from app.web.forms import CredentialField, HouseForm, Required, TextField


class MakeForm(HouseForm):
    """A passkey to be made."""

    name = TextField("Name")
    usage = TextField("Used for")


class MadeForm(HouseForm):
    """What the browser made."""

    credential = CredentialField("Passkey", [Required("api_error")])


class RenameForm(HouseForm):
    """A passkey and another name for it."""

    name = TextField("Passkey", [Required("webauthn_name_required")])
    new_name = TextField("New name", [Required("webauthn_name_required")])


class RemoveForm(HouseForm):
    """A passkey to remove."""

    name = TextField("Passkey", [Required("webauthn_name_required")])
