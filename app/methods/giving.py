"""What ways to sign in, and codes that were asked for, give to an export. Their secrets stay."""

from __future__ import annotations

import sqlalchemy as sa

from app.database.exports import give, leave_out
from app.methods import authenticators
from app.methods.models import Challenge, EnrolledMethod, Passkey, RecoveryCode

_is_unnamed = sa.and_(EnrolledMethod.method == authenticators.METHOD, EnrolledMethod.name == "")
_name = sa.case(
    (EnrolledMethod.method == "password", ""), (_is_unnamed, authenticators.UNNAMED), else_=EnrolledMethod.name
)
"""A password that waits for its address to be proved bears a digest there."""

give(
    "methods",
    "The ways to sign in that are set up, when each was added and last used. Not their secrets.",
    owner=EnrolledMethod.user_id,
    newest_by=[EnrolledMethod.created_at, EnrolledMethod.id],
    columns={
        "method": EnrolledMethod.method,
        "name": _name,
        "added_at": EnrolledMethod.created_at,
        "last_used_at": EnrolledMethod.last_used_at,
        "asked_for_as_a_second_step": EnrolledMethod.is_second,
    },
)
give(
    "passkeys",
    "Passkeys: their names, and what their authenticators said of themselves. Their secrets never were here.",
    owner=Passkey.user_id,
    newest_by=[Passkey.created_at, Passkey.id],
    columns={
        "name": Passkey.name,
        "credential": Passkey.credential_id,
        "usage": Passkey.usage,
        "model": Passkey.aaguid,
        "transports": Passkey.transports,
        "synced": Passkey.backup_state,
        "added_at": Passkey.created_at,
        "last_used_at": Passkey.last_used_at,
    },
)
give(
    "codes",
    "Codes and links that were asked for in the last day or two: what for, where they went, and who asked. Whoever"
    " typed your address is in here too.",
    owner=Challenge.user_id,
    newest_by=[Challenge.created_at, Challenge.id],
    columns={
        "purpose": Challenge.purpose,
        "method": Challenge.method,
        "to": Challenge.destination,
        "asked_at": Challenge.created_at,
        "used_or_ended_at": Challenge.spent_at,
        "address": Challenge.address,
        "browser": Challenge.agent,
    },
)
give(
    "recovery_codes",
    "Recovery codes: when each was made and used. The codes themselves are kept nowhere.",
    owner=RecoveryCode.user_id,
    newest_by=[RecoveryCode.created_at, RecoveryCode.id],
    columns={"made_at": RecoveryCode.created_at, "used_at": RecoveryCode.used_at},
)
leave_out("ceremony", because="a passkey's question, answered within minutes; that it was asked stands in the events")
