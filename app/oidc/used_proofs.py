"""Proofs that are good once: a client's assertion (RFC 7523), a proof of possession (RFC 9449)."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite speaks this INSERT as well

from app.crypto import secrets
from app.db.compiled import CompiledStatement
from app.oidc.models import UsedProof

_SPEND = CompiledStatement(
    insert(UsedProof.__table__)
    .values(digest=sa.bindparam("digest"), expires_at=sa.bindparam("expires_at"))
    .on_conflict_do_nothing()
)


def spend(kind: str, owner: str, jti: str, until: datetime) -> bool:
    """Use a proof; False when it was used before. One statement; of two uses at once one succeeds.

    :param kind: of proof, ``assertion`` or ``dpop``
    :param owner: whose it is, in whose name nobody else can use up its ids: a client id, or a key's thumbprint
    :param jti: its id; any text
    :param until: when it would not be accepted any more in any case
    """
    digest = secrets.digest("\n".join((kind, owner, jti)))
    return _SPEND.run(digest=digest, expires_at=until) == 1
