"""What a client ID metadata document says, and what it may not say.

draft-ietf-oauth-client-id-metadata-document-02, section 4: the metadata of RFC 7591 without any shared secret.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from app.oidc.client_metadata import read_metadata, registered_client
from app.oidc.client_uris import is_loopback
from app.oidc.clients import GRANT_TYPES, SCOPES, Client
from app.oidc.errors import OAuthError
from app.web.json_body import read_object

METHODS = ("none", "private_key_jwt")
ADDRESSES = ("redirect_uris", "post_logout_redirect_uris")


def read_document(client_id: str, body: bytes) -> Client:
    """Return the client that a document describes.

    :raises OAuthError: with what is wrong, for its developer
    """
    try:
        given = read_object(body)
    except ValueError:
        raise _invalid("The document is not one JSON object.") from None
    if given.get("client_id") != client_id:
        raise _invalid("client_id is not the address of the document, to the letter.")
    if not given.keys().isdisjoint(("client_secret", "client_secret_expires_at")):
        raise _invalid("A document can't have a client_secret.")
    if given.setdefault("token_endpoint_auth_method", "none") not in METHODS:
        raise _invalid(f"token_endpoint_auth_method must be {' or '.join(METHODS)}.")
    client = registered_client(client_id, (), read_metadata(_of_ours(given)), source="document")
    for name in ADDRESSES:
        for uri in getattr(client, name):
            _check_address(name, uri, client_id)
    return client


def _of_ours(given: dict[str, Any]) -> dict[str, Any]:
    """Return metadata without what is meant for other servers: the same document is read by all of them."""
    found = dict(given)
    if isinstance(given.get("grant_types"), list):
        found["grant_types"] = [each for each in given["grant_types"] if each in GRANT_TYPES]
    if isinstance(given.get("response_types"), list) and "code" in given["response_types"]:
        found["response_types"] = ["code"]
    if isinstance(given.get("scope"), str):
        found["scope"] = " ".join(each for each in given["scope"].split() if each in SCOPES) or "openid"
    if given["token_endpoint_auth_method"] == "none":  # noqa: S105 - a method
        found.pop("jwks_uri", None)
    return found


def _check_address(name: str, uri: str, client_id: str) -> None:
    """Refuse an address on another site: its owner has not said that this app is theirs (section 8.1)."""
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


def _invalid(description: str) -> OAuthError:
    return OAuthError("invalid_client_metadata", description)
