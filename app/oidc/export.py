"""What a data export contains about apps; never a token, a code or a digest."""

from __future__ import annotations

from app.db.export import ExportPart
from app.oidc.models import Consent, Grant

PARTS = (
    ExportPart(
        "apps",
        "Apps that may use the account, and what each of them may see or do.",
        owner=Consent.user_id,
        newest_by=[Consent.updated_at, Consent.client_id],
        columns={
            "app": Consent.client_id,
            "scopes": Consent.scopes,
            "allowed_at": Consent.created_at,
            "changed_at": Consent.updated_at,
        },
    ),
    ExportPart(
        "app_sign_ins",
        "Sign-ins to apps, for as long as that is kept.",
        owner=Grant.user_id,
        newest_by=[Grant.created_at, Grant.id],
        columns={
            "app": Grant.client_id,
            "scopes": Grant.scopes,
            "proved_by": Grant.amr,
            "signed_in_at": Grant.created_at,
            "stays_when_signed_out": Grant.offline,
            "ended_at": Grant.revoked_at,
            "expires_at": Grant.expires_at,
        },
    ),
)
EXCLUDED: dict[str, str] = {}
