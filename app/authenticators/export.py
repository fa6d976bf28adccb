"""Sign-in methods and challenges in a data export, without secrets."""

from __future__ import annotations

import sqlalchemy as sa

from app.authenticators import totp
from app.authenticators.models import Passkey, RecoveryCode
from app.challenges.models import Challenge
from app.db.export import ExportPart
from app.enrollments.models import Enrollment

_is_unnamed = sa.and_(Enrollment.method == totp.METHOD, Enrollment.name == "")
_name = sa.case((Enrollment.method == "password", ""), (_is_unnamed, totp.UNNAMED), else_=Enrollment.name)
"""The name of a pending password is a digest, so it's left out."""

PARTS = (
    ExportPart(
        "methods",
        "The ways to sign in that are set up, when each was added and last used. Not their secrets.",
        owner=Enrollment.user_id,
        newest_by=[Enrollment.created_at, Enrollment.id],
        columns={
            "method": Enrollment.method,
            "name": _name,
            "added_at": Enrollment.created_at,
            "last_used_at": Enrollment.last_used_at,
            "asked_for_as_a_second_step": Enrollment.is_second,
        },
    ),
    ExportPart(
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
    ),
    ExportPart(
        "codes",
        "Codes and links requested in the last day or two: why, where they were sent, and who requested them."
        " Requests by other people who entered your email are included.",
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
    ),
    ExportPart(
        "recovery_codes",
        "Recovery codes: when each was made and used. The codes themselves are kept nowhere.",
        owner=RecoveryCode.user_id,
        newest_by=[RecoveryCode.created_at, RecoveryCode.id],
        columns={"made_at": RecoveryCode.created_at, "used_at": RecoveryCode.used_at},
    ),
)
EXCLUDED = {
    "ceremony": "a passkey's question, answered within minutes; that it was asked stands in the events",
}
"""Tables with user rows that are left out of the export, each with the reason."""
