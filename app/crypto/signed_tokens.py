"""Signed tokens for our links and handles, which can be verified and read without a stored copy.

Each purpose is declared once, as a ``SignedToken``, ``SignedId`` or ``SealedToken``, and has its own key, so a token is
never valid for another purpose (ASVS 9.1.1, 9.2.2). The row that a token refers to tells whether it was already used.
Random tokens stored as a digest are in ``app.crypto.secrets``. ADR 46 explains why we don't use itsdangerous.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime

from app import clock
from app.crypto.encryption import DecryptionError, KeyRing
from app.crypto.secrets import base64url, same

_LINK = re.compile(
    r"(?:(?P<mark>[a-z])\.)?(?P<kid>[0-9a-f]{8})\.(?P<id>[0-9a-f]{32})\.(?P<expiry>[0-9]{10,12})"
    r"(?:\.(?P<secret>[\w-]{43}))?\.(?P<mac>[\w-]{43})\Z",
    re.ASCII,
)
_ID = re.compile(r"([0-9a-f]{32})\.([0-9a-f]{64})\Z")


@dataclass(frozen=True, slots=True)
class Claims:
    """Contents of a token with a valid signature.

    :ivar id: id of the row it refers to
    :ivar expiry: in Unix seconds
    :ivar secret: 256 bits derived from the row's own key; "" if the purpose has no secret
    """

    id: str
    expiry: int
    secret: str = ""

    @property
    def has_expired(self) -> bool:
        """Whether the token has expired."""
        return self.expiry <= clock.unix()


@dataclass(frozen=True, slots=True)
class SignedToken:
    """A purpose whose tokens are ``[mark.]kid.id.expiry[.secret].mac``, for links.

    The MAC (HMAC-SHA256) covers purpose, mark, scope, origin and all fields. The same values give the same token.

    :ivar purpose: determines the key, and is part of the signed data
    :ivar mark: letter in front of the token, if a purpose has several kinds of tokens
    :ivar has_secret: whether tokens contain a secret
    """

    purpose: str
    mark: str = ""
    has_secret: bool = False

    def sign(
        self, ring: KeyRing, origin: str, row_id: str, expires_at: datetime, *, secret: str = "", scope: str = ""
    ) -> str:
        """Return a URL-safe token signed with the ring's current key.

        :param origin: origin of this service; tokens from other ones are rejected
        :param expires_at: truncated to the second
        :param scope: signed value that isn't part of the token and must be known to the verifier
        """
        fields = [row_id, str(int(expires_at.timestamp())), *([secret] if self.has_secret else [])]
        mac = self._mac(ring, ring.kid, scope, origin, fields)
        return ".".join([*([self.mark] if self.mark else []), ring.kid, *fields, mac])

    def verify(self, ring: KeyRing, origin: str, token: str, *, scope: str = "") -> Claims | None:
        """Return the claims of ``token``, even after its expiry; None unless it was signed here for this purpose."""
        match = _LINK.match(token)
        if match is None or (match["mark"] or "") != self.mark or bool(match["secret"]) != self.has_secret:
            return None
        fields = [match["id"], match["expiry"], *([match["secret"]] if self.has_secret else [])]
        kid = match["kid"]
        if kid not in ring.kids or not same(match["mac"], self._mac(ring, kid, scope, origin, fields)):
            return None
        return Claims(match["id"], int(match["expiry"]), match["secret"] or "")

    def _mac(self, ring: KeyRing, kid: str, scope: str, origin: str, fields: list[str]) -> str:
        context = [part for part in (self.purpose, self.mark, scope) if part]
        message = "|".join([*context, origin, *fields]).encode()
        raw = hmac.digest(ring.derive(self.purpose, kid), message, hashlib.sha256)
        return base64url(raw)


@dataclass(frozen=True, slots=True)
class SignedId:
    """A purpose whose tokens are ``id.mac``. How long a token is valid is up to the row.

    :ivar purpose: determines the key
    """

    purpose: str

    def sign(self, ring: KeyRing, row_id: str) -> str:
        """Return a token signed with the ring's current key."""
        return f"{row_id}.{self._mac(ring, ring.kid, row_id)}"

    def verify(self, ring: KeyRing, token: str) -> str | None:
        """Return the id in ``token``; None unless it was signed here for this purpose, under any key of the ring."""
        match = _ID.match(token)
        if match is None:
            return None
        row_id, mac = match.groups()
        signed = any(same(mac, self._mac(ring, kid, row_id)) for kid in ring.kids)
        return row_id if signed else None

    def _mac(self, ring: KeyRing, kid: str, row_id: str) -> str:
        return hmac.digest(ring.derive(self.purpose, kid), row_id.encode(), hashlib.sha256).hex()


@dataclass(frozen=True, slots=True)
class SealedToken:
    """A purpose whose tokens are encrypted, to hide their contents from the bearer: ``v1.kid.nonce.ciphertext``.

    :ivar purpose: encryption context
    """

    purpose: tuple[str, ...]

    def seal(self, ring: KeyRing, *fields: str) -> str:
        """Return a token with ``fields``, which must not contain spaces. Each call returns a different token."""
        return ring.seal(" ".join(fields).encode(), *self.purpose)

    def open(self, ring: KeyRing, token: str) -> list[str] | None:
        """Return the fields of ``token``; None unless it was sealed here for this purpose."""
        try:
            return ring.open(token, *self.purpose).decode().split(" ")
        except DecryptionError:
            return None
