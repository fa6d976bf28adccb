"""Client metadata (RFC 7591, section 2), mapped to the fields of a client.

It is sent by a program that registers a client, or read from a client ID metadata document
(draft-ietf-oauth-client-id-metadata-document-02, section 4).
"""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.oidc.client_uris import check_redirect_uri, is_loopback, is_plain_http
from app.oidc.clients import GRANT_TYPES, MAX_AGE_LIMIT, SCOPES, Client
from app.oidc.errors import OAuthError
from app.web.json_body import read_object

FIELDS = {
    "client_name": "name",
    "token_endpoint_auth_method": "auth_method",
    "redirect_uris": "redirect_uris",
    "post_logout_redirect_uris": "post_logout_redirect_uris",
    "backchannel_logout_uri": "backchannel_logout_uri",
    "grant_types": "grant_types",
    "scope": "scopes",
    "client_uri": "home_url",
    "logo_uri": "logo_url",
    "policy_uri": "policy_url",
    "tos_uri": "terms_url",
    "jwks": "jwks",
    "subject_type": "subject",
    "id_token_signed_response_alg": "id_token_alg",
    "default_max_age": "default_max_age",
    "require_pushed_authorization_requests": "require_pushed",
    "dpop_bound_access_tokens": "require_dpop",
}
"""Metadata fields that a program can set, and the ``Client`` field each one maps to."""

MAX_NAME_LENGTH = 80
REDIRECT_FIELDS = ("redirect_uris", "post_logout_redirect_uris")
URL_FIELDS = ("client_uri", "logo_uri", "policy_uri", "tos_uri", "backchannel_logout_uri")
WORDS = {
    "string_type": "must be text",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "missing": "is missing",
}

DOCUMENT_METHODS = ("none", "private_key_jwt")


class Metadata(BaseModel):
    """Client metadata with validated types. Unknown fields are ignored (RFC 7591, 3.1)."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, hide_input_in_errors=True)

    client_name: str = ""
    redirect_uris: list[str] = []
    application_type: Literal["web", "native"] | None = None
    token_endpoint_auth_method: (
        Literal["client_secret_basic", "client_secret_post", "private_key_jwt", "none"] | None
    ) = None
    grant_types: list[str] = ["authorization_code"]
    response_types: list[str] = ["code"]
    scope: str = ""
    client_uri: str = ""
    logo_uri: str = ""
    policy_uri: str = ""
    tos_uri: str = ""
    jwks: dict[str, Any] | None = None
    jwks_uri: str = ""
    subject_type: Literal["public", "pairwise"] = "public"
    sector_identifier_uri: str = ""
    id_token_signed_response_alg: Literal["RS256", "ES256", "EdDSA"] = "RS256"  # noqa: S105 - an algorithm
    post_logout_redirect_uris: list[str] = []
    backchannel_logout_uri: str = ""
    backchannel_logout_session_required: bool = False
    default_max_age: int | None = Field(default=None, ge=0, le=MAX_AGE_LIMIT)
    require_pushed_authorization_requests: bool = False
    dpop_bound_access_tokens: bool = False


def read_metadata(values: dict[str, Any]) -> dict[str, Any]:
    """Return the client fields for metadata; null counts as omitted (RFC 7592, section 2.2).

    :raises OAuthError: ``invalid_redirect_uri``, ``invalid_client_metadata``
    """
    try:
        metadata = Metadata.model_validate({name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        raise _error_for(error, {}) from None
    if "authorization_code" in metadata.grant_types and not metadata.redirect_uris:
        raise OAuthError("invalid_redirect_uri", "redirect_uris is missing.")
    for uri in metadata.redirect_uris:
        _check_registrable_uri(uri, metadata)
    for name in URL_FIELDS:
        if (url := getattr(metadata, name)) and not url.startswith("https://"):
            raise _invalid(f"{name} must begin with https://.")
    _reject_unsupported(metadata)
    fields = {FIELDS[name]: value for name, value in metadata.model_dump().items() if name in FIELDS}
    fields["name"] = metadata.client_name or _host(metadata.redirect_uris) or "App"
    fields["auth_method"] = metadata.token_endpoint_auth_method or "secret"
    fields["scopes"] = _scopes(metadata.scope)
    fields["origins"] = _origins(metadata.redirect_uris) if fields["auth_method"] == "none" else []
    return fields


def registered_client(
    client_id: str, secret_digests: tuple[str, ...], fields: dict[str, Any], source: str = "registration"
) -> Client:
    """Return a client with these fields.

    :raises OAuthError: like ``read_metadata``
    """
    try:
        return Client(**fields, id=client_id, secret_digests=secret_digests, source=source)
    except ValidationError as error:
        raise _error_for(error, {field: name for name, field in FIELDS.items()}) from None


def metadata_of(client: Client) -> dict[str, Any]:
    """Return a client's registration as metadata, without empty values."""
    fields = client.model_dump(mode="json")
    facts: dict[str, Any] = {
        name: fields[field] for name, field in FIELDS.items() if fields[field] not in ("", [], None)
    }
    native = any(is_loopback(uri) or urlsplit(uri).scheme not in ("https", "http") for uri in client.redirect_uris)
    if client.auth_method == "secret":
        facts["token_endpoint_auth_method"] = "client_secret_basic"  # noqa: S105 - a method
    return facts | {
        "application_type": "native" if native else "web",
        "response_types": ["code"] if "authorization_code" in client.grant_types else [],
        "scope": " ".join(client.scopes),
        "backchannel_logout_session_required": True,
    }


def read_document(client_id: str, body: bytes) -> Client:
    """Return the client that a document describes.

    :raises OAuthError: with the reason, for its developer
    """
    try:
        document = read_object(body)
    except ValueError:
        raise _invalid("The document is not one JSON object.") from None
    if document.get("client_id") != client_id:
        raise _invalid("client_id is not the address of the document, to the letter.")
    if not document.keys().isdisjoint(("client_secret", "client_secret_expires_at")):
        raise _invalid("A document can't have a client_secret.")
    if document.setdefault("token_endpoint_auth_method", "none") not in DOCUMENT_METHODS:
        raise _invalid(f"token_endpoint_auth_method must be {' or '.join(DOCUMENT_METHODS)}.")
    client = registered_client(client_id, (), read_metadata(_relevant_metadata(document)), source="document")
    for name in REDIRECT_FIELDS:
        for uri in getattr(client, name):
            _check_same_site(name, uri, client_id)
    return client


def _relevant_metadata(document: dict[str, Any]) -> dict[str, Any]:
    """Return metadata without values meant for other servers, since all of them read the same document."""
    found = dict(document)
    if isinstance(document.get("grant_types"), list):
        found["grant_types"] = [each for each in document["grant_types"] if each in GRANT_TYPES]
    if isinstance(document.get("response_types"), list) and "code" in document["response_types"]:
        found["response_types"] = ["code"]
    if isinstance(document.get("scope"), str):
        found["scope"] = " ".join(each for each in document["scope"].split() if each in SCOPES) or "openid"
    if document["token_endpoint_auth_method"] == "none":  # noqa: S105 - a method
        found.pop("jwks_uri", None)
    return found


def _check_same_site(name: str, uri: str, client_id: str) -> None:
    """Reject a URI on another site, since its owner hasn't confirmed that the app is theirs (section 8.1)."""
    if is_loopback(uri):
        return
    here, there = urlsplit(client_id), urlsplit(uri)
    if there.scheme == "https":
        if (here.hostname, here.port or 443) != (there.hostname, there.port or 443):
            raise OAuthError("invalid_redirect_uri", f"{name} has an address on another origin than the document.")
        return
    domain, host = ".".join(reversed(there.scheme.split("."))), here.hostname or ""
    if not (f".{host}".endswith(f".{domain}") or domain.endswith(f".{host}")):
        raise OAuthError("invalid_redirect_uri", f"{name} has a scheme that is not of the document's domain.")


def _reject_unsupported(metadata: Metadata) -> None:
    if not metadata.grant_types:
        raise _invalid("grant_types is empty.")
    if metadata.jwks_uri:
        raise _invalid("jwks_uri is not supported: register the keys themselves as jwks.")
    if metadata.sector_identifier_uri:
        raise _invalid("sector_identifier_uri is not supported: use redirect URIs on one host.")
    if metadata.token_endpoint_auth_method == "private_key_jwt" and not metadata.jwks:  # noqa: S105 - a method
        raise _invalid("token_endpoint_auth_method needs keys: register them as jwks.")
    if metadata.subject_type == "pairwise" and len({urlsplit(uri).hostname for uri in metadata.redirect_uris}) > 1:
        raise _invalid("subject_type needs redirect URIs on one host.")
    code = ["code"] if "authorization_code" in metadata.grant_types else []
    if metadata.response_types not in (code, ["code"]):
        raise _invalid('response_types can be ["code"] alone.')


def _check_registrable_uri(uri: str, metadata: Metadata) -> None:
    """Reject a redirect URI that a program may not register itself, even if an operator could."""
    scheme = uri.partition(":")[0]
    try:
        check_redirect_uri(uri)
    except ValueError:
        raise OAuthError("invalid_redirect_uri", "redirect_uris has one that can't be a redirect URI.") from None
    if is_plain_http(uri):
        raise OAuthError("invalid_redirect_uri", "A redirect URI begins with https://, or leads to localhost.")
    if scheme not in ("https", "http") and metadata.application_type == "web":
        raise OAuthError("invalid_redirect_uri", "A scheme of its own is for application_type native.")


def _scopes(scope: str) -> list[str]:
    """Return the known scopes; all of them if none were named."""
    requested = scope.split()
    known = [name for name in dict.fromkeys(requested) if name in SCOPES]
    if requested and not known:
        raise _invalid(f"scope has no known name; there are {' '.join(SCOPES)}.")
    return known or list(SCOPES)


def _origins(uris: list[str]) -> list[str]:
    """Return the origins of the pages that codes are sent to, since their scripts exchange them."""
    return list(
        dict.fromkeys("/".join(uri.split("/", 3)[:3]) for uri in uris if uri.startswith(("https://", "http://")))
    )


def _host(uris: list[str]) -> str:
    return (urlsplit(uris[0]).hostname or "")[:MAX_NAME_LENGTH] if uris else ""


def _invalid(description: str) -> OAuthError:
    return OAuthError("invalid_client_metadata", description)


def _error_for(error: ValidationError, names: dict[str, str]) -> OAuthError:
    """Return an error for the first invalid metadata field, without its value.

    :param names: maps ``Client`` fields to metadata fields, if the error is about the former
    """
    fault = error.errors(include_url=False, include_input=False)[0]
    field = str(fault["loc"][0]) if fault["loc"] else ""
    name = names.get(field, field)
    what = WORDS.get(
        fault["type"], "" if fault["type"] == "value_error" else fault["msg"].replace("Input should", "must")
    )
    code = "invalid_redirect_uri" if name in REDIRECT_FIELDS else "invalid_client_metadata"
    if not name:
        return OAuthError(code, fault["msg"].removeprefix("Value error, ") + ".")
    return OAuthError(code, f"{name} {what or 'has a value that it can not have'}.")
