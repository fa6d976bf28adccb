"""What a data export contains about invitations: which ones the account has accepted, not who made them."""

from __future__ import annotations

from app.db.export import ExportPart
from app.invitations.models import InvitationUse

PARTS = (
    ExportPart(
        "invitations",
        "Invitations that the account has accepted, or will when its email is confirmed.",
        owner=InvitationUse.user_id,
        newest_by=[InvitationUse.created_at, InvitationUse.invitation_id],
        columns={"opened_at": InvitationUse.created_at, "accepted_at": InvitationUse.accepted_at},
    ),
)
