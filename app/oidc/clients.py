"""Client: an app that signs people in here, from wherever it was registered."""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Literal
from urllib.parse import urlsplit

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from app import clock
from app.db.compiled import CompiledStatement, Detached
from app.extensions import this_app
from app.oidc.models import CLIENT_ID, OAuthClient

SCOPES = ("openid", "profile", "email", "phone", "groups", "offline_access")
"""What an app can ask for; ``groups`` are the names of the groups that a person is a member of."""

DEFAULT_SCOPES = ("openid", "profile", "email", "phone", "groups", "offline_access")
GRANT_TYPES = ("authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code")
ALGORITHMS = ("RS256", "ES256", "EdDSA")
MOST_URIS = 50

_CLIENT_ID = re.compile(r"[\x21-\x7e]+\Z")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*\Z")
_IN_MEMORY = "latchkey.oidc.clients"
_DANGEROUS = frozenset(("javascript", "data", "vbscript", "file", "blob", "about", "ws", "wss", "ftp", "mailto"))


class Client(BaseModel):
    """What is registered of an app. Unchangeable; read from a file or a row.

    :ivar secret_digests: SHA-256 of the secrets that are accepted, in hexadecimal; none for a public client
    :ivar groups: names of the groups whose members may use it; empty for everybody
    :ivar consent: ``ask`` each person once, or ``trusted``: never
    :ivar level: 2 where two factors are asked for (``aal2``)
    :ivar access_token: ``opaque``, which ends with the session at once, or ``jwt`` (RFC 9068)
    :ivar subject: ``public`` for the account's handle, ``pairwise`` for another name in each sector
    :ivar origins: of pages whose scripts call the endpoints
    :ivar source: ``file``, ``command``, ``registration`` or ``document``
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    id: str = Field(min_length=1, max_length=CLIENT_ID)
    name: str = Field(min_length=1, max_length=80)
    secret_digests: tuple[str, ...] = ()
    auth_method: Literal["secret", "client_secret_basic", "client_secret_post", "private_key_jwt", "none"] = "secret"
    jwks: dict[str, Any] | None = None
    redirect_uris: tuple[str, ...] = Field(default=(), max_length=MOST_URIS)
    post_logout_redirect_uris: tuple[str, ...] = Field(default=(), max_length=MOST_URIS)
    backchannel_logout_uri: str = ""
    origins: tuple[str, ...] = Field(default=(), max_length=MOST_URIS)
    home_url: str = ""
    logo_url: str = ""
    policy_url: str = ""
    terms_url: str = ""
    scopes: tuple[str, ...] = DEFAULT_SCOPES
    grant_types: tuple[str, ...] = ("authorization_code", "refresh_token")
    groups: tuple[str, ...] = ()
    level: Literal["aal1", "aal2"] = "aal1"
    consent: Literal["ask", "trusted"] = "ask"
    pkce: Literal["required", "optional"] = "required"
    id_token_alg: Literal["RS256", "ES256", "EdDSA"] = "RS256"  # noqa: S105 - an algorithm
    access_token: Literal["opaque", "jwt"] = "opaque"  # noqa: S105 - a format
    subject: Literal["public", "pairwise"] = "public"
    sector: str = ""
    resources: tuple[str, ...] = ()
    introspects: bool = False
    require_pushed: bool = False
    require_dpop: bool = False
    default_max_age: int | None = Field(default=None, ge=0)
    source: str = "file"

    @property
    def is_public(self) -> bool:
        """Whether it can keep no secret (RFC 6749, section 2.1)."""
        return self.auth_method == "none"

    @property
    def host(self) -> str:
        """Where it sends people back to, as a person can check it: the host of its first redirect URI."""
        return urlsplit(self.redirect_uris[0]).hostname or "" if self.redirect_uris else ""

    @field_validator("id")
    @classmethod
    def _check_id(cls, value: str) -> str:
        if not is_client_id(value):
            raise ValueError("must be printable ASCII without spaces")
        return value

    @field_validator("redirect_uris")
    @classmethod
    def _check_redirect_uris(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            check_redirect_uri(value)
        return values

    @field_validator("post_logout_redirect_uris")
    @classmethod
    def _check_logout_uris(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            check_redirect_uri(value)
        return values

    @field_validator("backchannel_logout_uri", "home_url", "logo_url", "policy_url", "terms_url")
    @classmethod
    def _check_urls(cls, value: str) -> str:
        if value:
            check_url(value)
        return value

    @field_validator("origins")
    @classmethod
    def _check_origins(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            parts = urlsplit(value)
            if parts.scheme not in ("https", "http") or not parts.netloc or value != f"{parts.scheme}://{parts.netloc}":
                raise ValueError(f"{value!r} is no origin; write it as https://app.example.com")
        return values

    @field_validator("scopes")
    @classmethod
    def _check_scopes(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [value for value in values if value not in SCOPES]:
            raise ValueError(f"unknown: {', '.join(unknown)}; there are {', '.join(SCOPES)}")
        return values

    @field_validator("grant_types")
    @classmethod
    def _check_grant_types(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [value for value in values if value not in GRANT_TYPES]:
            raise ValueError(f"unknown: {', '.join(unknown)}; there are {', '.join(GRANT_TYPES)}")
        return values

    @model_validator(mode="after")
    def _check_together(self) -> Client:
        if self.is_public and self.pkce != "required":
            raise ValueError("pkce can be optional for a client with a secret only: set pkce to required")
        if self.is_public and self.secret_digests:
            raise ValueError("a public client (auth_method none) has no secret: leave it out")
        if self.auth_method == "private_key_jwt" and not (self.jwks or {}).get("keys"):
            raise ValueError("auth_method private_key_jwt needs the client's public keys: set jwks")
        if "authorization_code" in self.grant_types and not self.redirect_uris:
            raise ValueError("redirect_uris is empty: name at least one")
        if (
            self.subject == "pairwise"
            and not self.sector
            and len({urlsplit(u).hostname for u in self.redirect_uris}) > 1
        ):
            raise ValueError("subject pairwise with redirect URIs on several hosts needs a sector: set it to one host")
        return self


def is_client_id(text: str) -> bool:
    """Whether a client can have this id: printable ASCII without blanks (RFC 6749, appendix A.1)."""
    return len(text) <= CLIENT_ID and _CLIENT_ID.match(text) is not None


def check_url(value: str) -> None:
    """Refuse what is no https address (http on this machine) of a page or an endpoint.

    :raises ValueError: with what is wrong
    """
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"{value!r} is no URL") from None
    if len(value) > 2048 or not value.isascii() or any(ord(each) <= 32 or each == "\\" for each in value):
        raise ValueError(f"{value!r} has characters that a URL can't have, or too many")
    if parts.scheme not in ("https", "http") or not host or "@" in parts.netloc or parts.fragment or "#" in value:
        raise ValueError(f"{value!r} is no https address without user name and fragment")


def check_redirect_uri(value: str) -> None:
    """Refuse what can't be a redirect URI (RFC 6749, section 3.1.2; RFC 8252, section 7).

    :raises ValueError: with what is wrong
    """
    scheme = value.partition(":")[0]
    if scheme in ("https", "http"):
        check_url(value)
        return
    plain = value.isascii() and not any(ord(each) <= 32 or each == "\\" for each in value)
    if not plain or "#" in value or len(value) > 2048 or not _SCHEME.match(scheme) or scheme in _DANGEROUS:
        raise ValueError(f"{value!r} can't be a redirect URI")
    if "." not in scheme:
        raise ValueError(f"{value!r}: an app's own scheme has a dot in it, as com.example.app (RFC 8252, section 7.1)")


def is_loopback(uri: str) -> bool:
    """Whether a redirect URI leads to a native app on the person's own machine (RFC 8252, section 7.3)."""
    parts = urlsplit(uri)
    if parts.scheme != "http" or not parts.hostname:
        return False
    if parts.hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(parts.hostname).is_loopback
    except ValueError:
        return False


def allows_redirect(registered: tuple[str, ...], uri: str) -> bool:
    """Whether ``uri`` is one of these, to the letter; the port of a loopback address may be any (RFC 8252)."""
    if uri in registered:
        return True
    if not uri.startswith("http://") or len(uri) > 2048:
        return False
    try:
        return is_loopback(uri) and any(is_loopback(each) and _portless(each) == _portless(uri) for each in registered)
    except ValueError:
        return False


def _portless(uri: str) -> tuple[str, ...]:
    """Return a loopback address without its port. One with a user name, or a port that is none, is like no other."""
    parts = urlsplit(uri)
    host = parts.hostname or ""
    written = f"[{host}]" if ":" in host else host
    port = parts.netloc.lower().removeprefix(written)
    if port and not re.fullmatch(r":[0-9]{1,5}", port):
        return ("", uri)
    return (written, parts.path, parts.query, parts.fragment)


_ROWS = Detached(OAuthClient)
_BY_ID = CompiledStatement(_ROWS.select().where(OAuthClient.__table__.c.id == sa.bindparam("id")))


def clients_in_memory() -> dict[str, Client]:
    """Return the clients of the clients file, by id."""
    found: dict[str, Client] = this_app().extensions.setdefault(_IN_MEMORY, {})
    return found


def find_client(client_id: str) -> Client | None:
    """Return a client that is not disabled; None where there is none.

    No statement for one of the clients file, else one.
    """
    if (known := clients_in_memory().get(client_id)) is not None:
        return known
    if not is_client_id(client_id):
        return None
    found = _BY_ID.first(id=client_id)
    if found is None:
        return None
    (row,) = _ROWS.read(found)
    return None if row.disabled_at is not None else client_of(row)


def client_of(row: OAuthClient) -> Client:
    """Return what a row says."""
    digests = [row.secret_digest] if row.secret_digest else []
    if row.old_secret_digest and row.old_secret_until is not None and row.old_secret_until > clock.now():
        digests.append(row.old_secret_digest)
    return Client(**row.registered, id=row.id, secret_digests=tuple(digests), source=row.source)
