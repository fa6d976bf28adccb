"""Client ids that are the address of a metadata document, and which of them the operator accepts.

draft-ietf-oauth-client-id-metadata-document-02, section 3. Nothing here reads one.
"""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from app.extensions import settings
from app.oidc.client_uris import check_url
from app.oidc.models import CLIENT_ID

EVERYONE = "everyone"
"""In ``LATCHKEY_CLIENT_DOCUMENTS``: every account may use such apps."""


def is_document_id(client_id: str) -> bool:
    """Whether a client id can be the address of a metadata document."""
    if not client_id.startswith("https://") or len(client_id) > CLIENT_ID:
        return False
    try:
        check_url(client_id)
    except ValueError:
        return False
    segments = urlsplit(client_id).path.split("/")
    return len(segments) > 1 and not any(unquote(each) in (".", "..") for each in segments)


def admits(client_id: str) -> bool:
    """Whether the operator accepts an app that is known by this address alone."""
    if not settings.client_documents or not is_document_id(client_id):
        return False
    hosts, host = settings.client_document_hosts, host_of_id(client_id)
    return not hosts or any(host == each or (each[:2] == "*." and host.endswith(each[1:])) for each in hosts)


def host_of_id(client_id: str) -> str:
    """Return the host by which a person can tell whose app it is."""
    return urlsplit(client_id).hostname or ""


def admitted_groups() -> tuple[str, ...]:
    """Return the groups whose members may use such apps; none where every account may."""
    named: tuple[str, ...] = settings.client_documents
    return () if EVERYONE in named else named
