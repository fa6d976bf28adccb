"""Client: an app that signs users in here, wherever it was registered."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import orjson
import sqlalchemy as sa
import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from app import clock
from app.db.compiled import CompiledStatement, Detached
from app.extensions import db, this_app
from app.groups.service import NAME_RULE, is_name
from app.oidc import client_uris
from app.oidc.client_keys import check_jwks
from app.oidc.client_uris import allows_redirect as allows_redirect
from app.oidc.client_uris import is_loopback as is_loopback
from app.oidc.client_uris import is_plain_http
from app.oidc.models import MAX_CLIENT_ID_LENGTH, OAuthClient
from app.user_input import SELECTORS, shows_all

if TYPE_CHECKING:
    from flask import Flask

log = structlog.get_logger()

SCOPES = ("openid", "profile", "email", "phone", "groups", "offline_access")
"""Scopes an app can request. ``groups`` gives it the names of the user's groups."""

DEFAULT_SCOPES = ("openid", "profile", "email", "phone", "groups", "offline_access")
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
"""Grant type for devices without a browser (RFC 8628)."""

GRANT_TYPES = ("authorization_code", "refresh_token", DEVICE_CODE)
ALGORITHMS = ("RS256", "ES256", "EdDSA")
MAX_URIS = 50
MAX_AGE_LIMIT = 999_999_999
"""Maximum of ``default_max_age`` in seconds, the same as for ``max_age`` in a request."""

_CLIENT_ID = re.compile(r"[\x21-\x7e]+\Z")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_SECTOR = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?\Z")
_INVISIBLE = frozenset(("Cc", "Cf", "Cs", "Co", "Zl", "Zp"))
"""Unicode categories of characters that are invisible or change the direction of the text around them."""

_JOINERS = "\u180b\u180c\u180d\u200c\u200d"
"""Invisible, but part of words in some languages: Mongolian variation selectors, and joiners."""

_IN_MEMORY = "latchkey.oidc.clients"
_READ_AT = "latchkey.oidc.clients_read_at"


class Client(BaseModel):
    """An app's registration. Immutable; loaded from the clients file or a row.

    :ivar secret_digests: SHA-256 of the accepted secrets, in hexadecimal; empty for a public client
    :ivar groups: names of the groups whose members may use it; empty for everyone
    :ivar consent: ``ask`` each user once, or ``trusted`` to never ask
    :ivar level: ``aal2`` if two factors are required
    :ivar access_token: ``opaque``, which ends with the session immediately, or ``jwt`` (RFC 9068)
    :ivar subject: ``public`` for the account's handle, ``pairwise`` for a different identifier in each sector
    :ivar origins: origins of pages whose scripts call the endpoints
    :ivar resources: services that its tokens may be for (RFC 8707)
    :ivar serves: services that it provides itself; it may introspect tokens for them (RFC 7662)
    :ivar serves_all: whether any app may request tokens for these, even one that registered itself
    :ivar source: ``file``, ``command``, ``registration`` or ``document``
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    id: str = Field(min_length=1, max_length=MAX_CLIENT_ID_LENGTH)
    name: str = Field(min_length=1, max_length=80)
    secret_digests: tuple[str, ...] = ()
    auth_method: Literal["secret", "client_secret_basic", "client_secret_post", "private_key_jwt", "none"] = "secret"
    jwks: dict[str, Any] | None = None
    redirect_uris: tuple[str, ...] = Field(default=(), max_length=MAX_URIS)
    post_logout_redirect_uris: tuple[str, ...] = Field(default=(), max_length=MAX_URIS)
    backchannel_logout_uri: str = ""
    origins: tuple[str, ...] = Field(default=(), max_length=MAX_URIS)
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
    serves: tuple[str, ...] = ()
    serves_all: bool = False
    introspects: bool = False
    require_pushed: bool = False
    require_dpop: bool = False
    default_max_age: int | None = Field(default=None, ge=0, le=MAX_AGE_LIMIT)
    source: str = "file"

    @property
    def is_public(self) -> bool:
        """Whether it can't keep a secret (RFC 6749, section 2.1)."""
        return self.auth_method == "none"

    @property
    def is_vetted(self) -> bool:
        """Whether an administrator added it, rather than the app itself."""
        return self.source in ("file", "command")

    def admits(self, groups: Collection[str]) -> bool:
        """Return whether an account in these groups may use it."""
        return not self.groups or not frozenset(self.groups).isdisjoint(groups)

    def still_allowed(self, scopes: str) -> list[str]:
        """Return which of the scopes that a token was granted this client may still ask for, in their order."""
        return [scope for scope in scopes.split() if scope in self.scopes]

    @property
    def host(self) -> str:
        """Host of its first redirect URI, so that users can check where it sends them."""
        return urlsplit(self.redirect_uris[0]).hostname or "" if self.redirect_uris else ""

    @field_validator("id")
    @classmethod
    def _check_id(cls, value: str) -> str:
        if not is_client_id(value):
            raise ValueError("must be printable ASCII without spaces")
        return value

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        """Reject names that would look like another name, or like none, on the consent page."""
        is_seen = shows_all(value, keep=_JOINERS + SELECTORS)
        if value != value.strip() or not is_seen or any(map(_is_invisible, value)):
            raise ValueError("must be one line, without blanks around it and without invisible characters")
        return value

    @field_validator("secret_digests")
    @classmethod
    def _check_digests(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return _checked(values, _check_digest)

    @field_validator("jwks")
    @classmethod
    def _check_jwks(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None:
            check_jwks(value)
        return value

    @field_validator("redirect_uris", "post_logout_redirect_uris")
    @classmethod
    def _check_redirect_uris(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return _checked(values, client_uris.check_redirect_uri)

    @field_validator("backchannel_logout_uri", "home_url", "logo_url", "policy_url", "terms_url")
    @classmethod
    def _check_urls(cls, value: str) -> str:
        if value:
            client_uris.check_url(value)
        return value

    @field_validator("origins")
    @classmethod
    def _check_origins(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return _checked(values, client_uris.check_origin)

    @field_validator("resources", "serves")
    @classmethod
    def _check_resources(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return _checked(values, client_uris.check_resource)

    @field_validator("groups")
    @classmethod
    def _check_groups(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [value for value in values if not is_name(value)]:
            raise ValueError(f"{unknown[0]!r} is no group: its name has {NAME_RULE}")
        return values

    @field_validator("sector")
    @classmethod
    def _check_sector(cls, value: str) -> str:
        if value and not _SECTOR.match(value):
            raise ValueError("must be a host name alone, as example.com")
        return value

    @field_validator("scopes")
    @classmethod
    def _check_scopes(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return _known(values, SCOPES)

    @field_validator("grant_types")
    @classmethod
    def _check_grant_types(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return _known(values, GRANT_TYPES)

    @model_validator(mode="after")
    def _check_together(self) -> Client:
        if self.is_public and self.pkce != "required":
            raise ValueError("pkce can be optional for a client with a secret only: set pkce to required")
        if self.is_public and self.secret_digests:
            raise ValueError("a public client (auth_method none) has no secret: leave it out")
        if self.is_public and self.introspects:
            raise ValueError("introspects is for clients with a secret: anyone can call as a public one")
        if self.is_public and (plain := [uri for uri in self.redirect_uris if is_plain_http(uri)]):
            raise ValueError(f"{plain[0]!r}: a public client (auth_method none) needs https://, or http on localhost")
        if self.serves_all and not self.serves:
            raise ValueError("serves_all is for a client that serves something: set serves")
        if self.auth_method == "private_key_jwt" and not self.jwks:
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


REGISTERED = frozenset(Client.model_fields) - {"id", "source", "secret_digests"}
"""Fields of a client stored in ``OAuthClient.registered``."""


def registered_fields(client: Client) -> dict[str, Any]:
    """Return every field, even if it has its default, so that a new default in a later release changes no client."""
    return client.model_dump(mode="json", include=set(REGISTERED))


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in _INVISIBLE and character not in _JOINERS


def _checked(values: tuple[str, ...], check: Callable[[str], None]) -> tuple[str, ...]:
    for value in values:
        check(value)
    return values


def _known(values: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    if unknown := [value for value in values if value not in known]:
        raise ValueError(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
    return values


def _check_digest(value: str) -> None:
    if not _DIGEST.match(value):
        raise ValueError("must be a SHA-256 digest of 64 hexadecimal digits: flask clients digest makes one")


def is_client_id(text: str) -> bool:
    """Return whether this is a valid client id: printable ASCII without spaces (RFC 6749, appendix A.1)."""
    return len(text) <= MAX_CLIENT_ID_LENGTH and _CLIENT_ID.match(text) is not None


_ROWS = Detached(OAuthClient)
_BY_ID = CompiledStatement(_ROWS.select().where(OAuthClient.__table__.c.id == sa.bindparam("id")))


def store_in_memory(app: Flask, clients: dict[str, Client]) -> None:
    """Keep the clients of the clients file in memory, and the time they were read."""
    app.extensions[_IN_MEMORY] = clients
    app.extensions[_READ_AT] = clock.now()


def clients_in_memory() -> dict[str, Client]:
    """Return the clients of the clients file, by id."""
    found: dict[str, Client] = this_app().extensions.setdefault(_IN_MEMORY, {})
    return found


def clients_read_at() -> datetime:
    """Return when the clients file was read. There must be one."""
    read_at: datetime = this_app().extensions[_READ_AT]
    return read_at


def find_client(client_id: str) -> Client | None:
    """Return a client unless it is disabled; None if there is none.

    No statement for a client of the clients file, one for any other.
    """
    if (known := clients_in_memory().get(client_id)) is not None:
        return known
    if not is_client_id(client_id):
        return None
    found = _BY_ID.first_without_session(id=client_id)
    if found is None:
        return None
    return enabled_client_of(_ROWS.read(found)[0])


def find_clients(client_ids: Collection[str]) -> dict[str, Client]:
    """Return these clients by id, without disabled ones. At most one statement."""
    known = clients_in_memory()
    found = {each: known[each] for each in client_ids if each in known}
    if stored := [each for each in client_ids if each not in known]:
        rows = db.session.execute(_ROWS.select().where(OAuthClient.__table__.c.id.in_(stored))).all()
        clients = (enabled_client_of(_ROWS.read(row)[0]) for row in rows)
        found |= {client.id: client for client in clients if client is not None}
    return found


def enabled_client_of(row: OAuthClient) -> Client | None:
    """Return the client in a row; None if it is disabled or no longer valid.

    A client with a metadata document is only returned while the operator accepts its document.
    """
    if row.disabled_at is not None or (row.source == "document" and not client_uris.admits(row.id)):
        return None
    try:
        return client_of(row)
    except ValidationError as error:
        log.error("client.unusable", client=row.id, fields=[str(fault["loc"]) for fault in error.errors()])
        return None


def client_of(row: OAuthClient) -> Client:
    """Return the client in a row. Fields that this release doesn't know come from a newer one and are ignored.

    Which groups may use a client with a metadata document is a setting.

    :raises pydantic.ValidationError: if the client is invalid
    """
    digests = [row.secret_digest] if row.secret_digest else []
    if row.old_secret_digest and row.old_secret_until is not None and row.old_secret_until > clock.now():
        digests.append(row.old_secret_digest)
    groups = client_uris.admitted_groups() if row.source == "document" else None
    return _read(row.id, row.source, orjson.dumps(row.registered), tuple(digests), groups)


@lru_cache(maxsize=128)
def _read(
    client_id: str, source: str, registered: bytes, digests: tuple[str, ...], admitted_groups: tuple[str, ...] | None
) -> Client:
    """Return the client with these contents. Cached because checking them takes 40 us, in each request of an app."""
    known = {name: value for name, value in orjson.loads(registered).items() if name in Client.model_fields}
    if admitted_groups is not None:
        known |= {"groups": admitted_groups, "consent": "ask"}
    return Client(**known, id=client_id, secret_digests=digests, source=source)
