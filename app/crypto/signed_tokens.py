"""Signed tokens: what links and handles of ours say, readable again without a stored copy.

Each purpose is declared once, as a ``SignedToken``, ``SignedId`` or ``SealedToken``, and has a key of its own, so no
token passes for one of another purpose (ASVS 9.1.1, 9.2.2). The row that a token names decides whether it was used.
A random token that is stored as a digest is no signed token: ``app.crypto.secrets``. Why not itsdangerous: ADR 46.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime

from app import clock
from app.crypto.encryption import DecryptionError, KeyRing
from app.crypto.secrets import same

_LINK = re.compile(
    r"(?:(?P<mark>[a-z])\.)?(?P<kid>[0-9a-f]{8})\.(?P<id>[0-9a-f]{32})\.(?P<expiry>[0-9]{10,12})"
    r"(?:\.(?P<secret>[\w-]{43}))?\.(?P<mac>[\w-]{43})\Z",
    re.ASCII,
)
_ID = re.compile(r"([0-9a-f]{32})\.([0-9a-f]{64})\Z")


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says whose signature is right.

    :ivar id: of the row it is about
    :ivar expiry: in Unix seconds
    :ivar secret: 256 bits that the row's own key gives; "" where the purpose has none
    """

    id: str
    expiry: int
    secret: str = ""

    @property
    def has_expired(self) -> bool:
        """Whether its time is over."""
        return self.expiry <= clock.unix()


@dataclass(frozen=True, slots=True)
class SignedToken:
    """A purpose whose tokens are ``[mark.]kid.id.expiry[.secret].mac``, for links.

    The MAC (HMAC-SHA256) covers purpose, scope, origin and all fields; the same fields give the same token.
    :ivar purpose: gives the key, and begins what is signed
    :ivar mark: a letter before the token, for a purpose of several kinds
    :ivar has_secret: whether a secret goes with it
    """

    purpose: str
    mark: str = ""
    has_secret: bool = False

    def sign(
        self, ring: KeyRing, origin: str, row_id: str, expires_at: datetime, *, secret: str = "", scope: str = ""
    ) -> str:
        """Return the token under the ring's current key, safe in a URL.

        :param origin: of this service: a token of another one is refused
        :param expires_at: cut to the second
        :param scope: what the reader has to know besides, and the token doesn't show
        """
        fields = [row_id, str(int(expires_at.timestamp())), *([secret] if self.has_secret else [])]
        mac = self._mac(ring, ring.kid, scope, origin, fields)
        return ".".join([*([self.mark] if self.mark else []), ring.kid, *fields, mac])

    def verify(self, ring: KeyRing, origin: str, token: str, *, scope: str = "") -> Claims | None:
        """Return what ``token`` says, also after its expiry; None unless it was signed here for this purpose."""
        match = _LINK.match(token)
        if match is None or (match["mark"] or "") != self.mark or bool(match["secret"]) != self.has_secret:
            return None
        fields = [match["id"], match["expiry"], *([match["secret"]] if self.has_secret else [])]
        kid = match["kid"]
        if kid not in ring.kids or not same(match["mac"], self._mac(ring, kid, scope, origin, fields)):
            return None
        return Claims(match["id"], int(match["expiry"]), match["secret"] or "")

    def _mac(self, ring: KeyRing, kid: str, scope: str, origin: str, fields: list[str]) -> str:
        about = [part for part in (self.purpose, self.mark, scope) if part]
        message = "|".join([*about, origin, *fields]).encode()
        raw = hmac.digest(ring.derive(self.purpose, kid), message, hashlib.sha256)
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class SignedId:
    """A purpose whose tokens are ``id.mac``: the row alone says how long it holds.

    :ivar purpose: gives the key
    """

    purpose: str

    def sign(self, ring: KeyRing, row_id: str) -> str:
        """Return the token under the ring's current key."""
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
    """A purpose whose tokens are encrypted, since what they say is not for their bearer: ``v1.kid.nonce.ciphertext``.

    :ivar purpose: the context under which the ring seals
    """

    purpose: tuple[str, ...]

    def seal(self, ring: KeyRing, *fields: str) -> str:
        """Return a token that says ``fields``, none of which has a space in it; another one each time."""
        return ring.seal(" ".join(fields).encode(), *self.purpose)

    def open(self, ring: KeyRing, token: str) -> list[str] | None:
        """Return the fields of ``token``; None unless it was sealed here for this purpose."""
        try:
            return ring.open(token, *self.purpose).decode().split(" ")
        except DecryptionError:
            return None
