"""Authorization requests and their validation (OpenID Connect Core, section 3.1.2.2).

Until the client and redirect URI are verified, errors are shown to the user on a page. After that they are returned to
the client.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from werkzeug.datastructures import MultiDict

from app.extensions import settings
from app.oidc import keys
from app.oidc.claims import SCOPE_OF
from app.oidc.client_uris import allows_redirect
from app.oidc.clients import Client, find_client
from app.oidc.errors import OAuthError
from app.oidc.parameters import AUTHORIZATION_PARAMETERS, single_value, single_values, words
from app.oidc.resources import resource_of as resource_of
from app.oidc.resources import resources_of

PROMPTS = frozenset(("none", "login", "consent", "select_account"))
LEVELS = {"aal1": 1, "aal2": 2}
MAX_NONCE_LENGTH = 512
MAX_CLAIMS = 40

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}\Z")
_SECONDS = re.compile(r"[0-9]{1,9}\Z", re.ASCII)
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}\Z")


class PageError(Exception):
    """A request that can't be answered by redirect, because its client or redirect URI is not verified.

    :ivar code: code of the message to show
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class AuthorizationError(Exception):
    """An error returned to the client by redirect (RFC 6749, section 4.1.2.1)."""

    def __init__(self, code: str, description: str, redirect_uri: str, state: str | None) -> None:
        super().__init__(code)
        self.code = code
        self.description = description
        self.redirect_uri = redirect_uri
        self.state = state

    @property
    def url(self) -> str:
        """URL to redirect the browser to."""
        return response_url(self.redirect_uri, self.state, error=self.code, error_description=self.description)


@dataclass(frozen=True, slots=True)
class Authorization:
    """A valid authorization request.

    :ivar scopes: requested scopes that the client may have, in our order
    :ivar claims: claim names from the ``claims`` parameter: ``{"userinfo": ["email"], "id_token": []}``. Their values
        are dropped, since they can be anything
    :ivar level: requested assurance level, 1 or 2
    :ivar must_have_level: whether level 2 is mandatory
    :ivar resource: services the tokens will be for, joined by spaces (RFC 8707)
    :ivar served_by: clients that serve those of the services that any app may request
    :ivar subject: required ``sub`` of the response, from ``id_token_hint`` or ``claims``; "" for any
    """

    client: Client
    redirect_uri: str
    scopes: tuple[str, ...]
    state: str | None = None
    nonce: str | None = None
    code_challenge: str | None = None
    prompts: frozenset[str] = frozenset()
    max_age: int | None = None
    level: int = 1
    must_have_level: bool = False
    login_hint: str = ""
    subject: str = ""
    ui_locales: tuple[str, ...] = ()
    claims: dict[str, list[str]] = field(default_factory=dict)
    resource: str = ""
    served_by: tuple[Client, ...] = ()
    jkt: str | None = None

    @property
    def is_silent(self) -> bool:
        """Whether no page may be shown (``prompt=none``)."""
        return "none" in self.prompts

    def error(self, code: str, description: str) -> AuthorizationError:
        """Return an error to send back to this request's client."""
        return AuthorizationError(code, description, self.redirect_uri, self.state)


def response_url(redirect_uri: str, state: str | None, **answer: str) -> str:
    """Return the redirect URI with the response, the state and the issuer added to it (RFC 9207)."""
    parameters = answer | ({"state": state} if state is not None else {}) | {"iss": settings.public_url}
    joint = "&" if urlsplit(redirect_uri).query else "" if redirect_uri.endswith("?") else "?"
    return f"{redirect_uri}{joint}{urlencode(parameters)}"


def read_authorization(parameters: MultiDict[str, str], *, pushed_by: Client | None = None) -> Authorization:
    """Validate an authorization request.

    :param pushed_by: authenticated client that pushed it (RFC 9126)
    :raises PageError: if the client or redirect URI is invalid
    :raises AuthorizationError: for any other error
    """
    client = pushed_by or _client_of(parameters)
    redirect_uri = _redirect_uri_of(parameters, client)
    state = single_value(parameters, "state")
    try:
        fields = single_values(parameters, AUTHORIZATION_PARAMETERS)
        return _validated(fields, client, redirect_uri, state)
    except OAuthError as error:
        raise AuthorizationError(error.code, error.description, redirect_uri, state) from None


def _client_of(parameters: MultiDict[str, str]) -> Client:
    ids = parameters.getlist("client_id")
    client = find_client(ids[0]) if len(ids) == 1 else None
    if client is None:
        raise PageError("oauth_client_unknown")
    return client


def _redirect_uri_of(parameters: MultiDict[str, str], client: Client) -> str:
    uris = parameters.getlist("redirect_uri")
    if len(uris) != 1 or not allows_redirect(client.redirect_uris, uris[0]):
        raise PageError("oauth_redirect_unknown")
    return uris[0]


def _validated(fields: dict[str, str], client: Client, redirect_uri: str, state: str | None) -> Authorization:
    _reject_unsupported(fields, client)
    claims = _claims_of(fields, client)
    levels = [LEVELS[name] for name in words(fields, "acr_values") if name in LEVELS]
    essential = _essential_level(claims)
    resource, served_by = resources_of(fields, client)
    must_have = max(essential, *(LEVELS[each.level] for each in (client, *served_by)))
    return Authorization(
        client,
        redirect_uri,
        scopes=scopes_of(fields, client),
        state=state,
        nonce=_limited(fields, "nonce", MAX_NONCE_LENGTH),
        code_challenge=_challenge_of(fields, client),
        prompts=_prompts_of(fields),
        max_age=_max_age_of(fields, client),
        level=max(must_have, levels[0] if levels else 1),
        must_have_level=must_have == LEVELS["aal2"],
        login_hint=fields.get("login_hint", "")[:254],
        subject=_subject_of(fields, claims),
        ui_locales=tuple(words(fields, "ui_locales")[:8]),
        claims={location: list(members) for location, members in claims.items()},
        resource=resource,
        served_by=served_by,
        jkt=thumbprint_of(fields),
    )


def _reject_unsupported(fields: dict[str, str], client: Client) -> None:
    if "request" in fields:
        raise OAuthError("request_not_supported", "Request objects are not supported.")
    if "request_uri" in fields:
        raise OAuthError("request_uri_not_supported", "request_uri is accepted for pushed requests only.")
    if "response_type" not in fields:
        raise OAuthError("invalid_request", "response_type is missing.")
    if fields["response_type"] != "code":
        raise OAuthError("unsupported_response_type", "response_type must be code.")
    if fields.get("response_mode", "query") != "query":
        raise OAuthError("invalid_request", "response_mode must be query.")
    if "authorization_code" not in client.grant_types:
        raise OAuthError("unauthorized_client", "This client is not registered for the authorization code.")
    if "registration" in fields:
        raise OAuthError("registration_not_supported", "The registration parameter is not supported.")


def scopes_of(fields: dict[str, str], client: Client) -> tuple[str, ...]:
    """Return the requested scopes that the client may have; unknown ones are ignored (Core, section 3.1.2.1)."""
    requested = words(fields, "scope")
    found = tuple(scope for scope in client.scopes if scope in requested)
    if not found:
        raise OAuthError("invalid_scope", "scope names nothing that this client may have.")
    return found


def _challenge_of(fields: dict[str, str], client: Client) -> str | None:
    """Return the PKCE challenge. Only S256 is accepted (RFC 7636, section 4.3; RFC 9700, section 2.1.1)."""
    challenge = fields.get("code_challenge")
    if challenge is None:
        if client.pkce == "required" or "code_challenge_method" in fields:
            raise OAuthError("invalid_request", "code_challenge is missing.")
        return None
    if fields.get("code_challenge_method") != "S256":
        raise OAuthError("invalid_request", "code_challenge_method must be S256.")
    if not _CHALLENGE.match(challenge):
        raise OAuthError("invalid_request", "code_challenge is no SHA-256 in base64url.")
    return challenge


def _prompts_of(fields: dict[str, str]) -> frozenset[str]:
    prompts = frozenset(words(fields, "prompt")) & PROMPTS
    if "none" in prompts and len(words(fields, "prompt")) > 1:
        raise OAuthError("invalid_request", "prompt has none and another value.")
    return prompts


def _max_age_of(fields: dict[str, str], client: Client) -> int | None:
    if "max_age" not in fields:
        return client.default_max_age
    if not _SECONDS.match(fields["max_age"]):
        raise OAuthError("invalid_request", "max_age must be a number of seconds.")
    return int(fields["max_age"])


def _limited(fields: dict[str, str], name: str, longest: int) -> str | None:
    if len(fields.get(name, "")) > longest:
        raise OAuthError("invalid_request", f"{name} is too long.")
    return fields.get(name)


def _claims_of(fields: dict[str, str], client: Client) -> dict[str, Any]:
    """Return the ``claims`` parameter, limited to known claims that the client may have (Core, section 5.5)."""
    if "claims" not in fields:
        return {}
    try:
        claims = json.loads(fields["claims"])
    except (ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise OAuthError("invalid_request", "claims must be a JSON object.")
    found = {location: claims[location] for location in ("userinfo", "id_token") if claims.get(location) is not None}
    for members in found.values():
        is_map = isinstance(members, dict) and len(members) <= MAX_CLAIMS
        if not is_map or not all(each is None or isinstance(each, dict) for each in members.values()):
            raise OAuthError("invalid_request", "claims must name each claim with null or an object.")
    available = {claim for claim, scope in SCOPE_OF.items() if scope in client.scopes} | {"sub", "acr", "auth_time"}
    return {
        location: {name: each for name, each in members.items() if name in available}
        for location, members in found.items()
    }


def _essential_level(claims: dict[str, Any]) -> int:
    """Return the level required by an essential ``acr`` claim, or 1 if there is none."""
    acr = claims.get("id_token", {}).get("acr") or {}
    if acr.get("essential") is not True:
        return 1
    values: list[Any] = acr["values"] if isinstance(acr.get("values"), list) else [acr.get("value")]
    levels = [LEVELS[value] for value in values if isinstance(value, str) and value in LEVELS]
    if not levels and any(value is not None for value in values):
        raise OAuthError("unmet_authentication_requirements", "No acr value that is asked for can be met.")
    return min(levels, default=1)


def _subject_of(fields: dict[str, str], claims: dict[str, Any]) -> str:
    """Return the required ``sub``, from an ID token hint that we signed or from ``claims`` (Core, 3.1.2.2)."""
    requested = (claims.get("id_token", {}).get("sub") or {}).get("value")
    if requested is not None and not isinstance(requested, str):
        raise OAuthError("invalid_request", "claims asks for a sub that is no text.")
    hint = fields.get("id_token_hint")
    if hint is None:
        return requested or ""
    hint_claims = keys.verify(hint, typ="JWT")  # ID tokens only: other tokens we sign have another typ
    if hint_claims is None or not isinstance(hint_claims.get("sub"), str):
        raise OAuthError("invalid_request", "id_token_hint was not issued here.")
    if requested is not None and requested != hint_claims["sub"]:
        raise OAuthError("invalid_request", "id_token_hint and claims name two people.")
    return str(hint_claims["sub"])


def thumbprint_of(fields: dict[str, str]) -> str | None:
    """Return the thumbprint of the key that the code will be bound to (RFC 9449, section 10)."""
    jkt = fields.get("dpop_jkt")
    if jkt is not None and not _THUMBPRINT.match(jkt):
        raise OAuthError("invalid_request", "dpop_jkt is no SHA-256 thumbprint.")
    return jkt
