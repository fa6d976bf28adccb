"""URIs of clients: which may be registered, and whether a request's URI matches one of them (RFC 9700, 2.1).

The URL of a metadata document is itself a client id (draft-ietf-oauth-client-id-metadata-document-02, section 3).
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, unquote, urlsplit

from app.extensions import settings
from app.oidc.models import MAX_CLIENT_ID_LENGTH, MAX_ORIGIN_LENGTH, MAX_RESOURCE_LENGTH

MAX_LENGTH = 2048

_URI = re.compile(r"(?:[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+\Z")
"""RFC 3986, appendix A, without a fragment. Browsers drop or rewrite all other characters."""

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?\Z")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*\Z")
_LOOPBACK = re.compile(r"http://(localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::([0-9]{1,5}))?((?:[/?].*)?)\Z", re.DOTALL)
LAST_PORT = 65535

EVERYONE = "everyone"
"""Value of ``LATCHKEY_CLIENT_DOCUMENTS`` that lets every account use such apps."""


def check_url(value: str) -> None:
    """Reject anything that isn't an https or http URL of a page or an endpoint.

    :raises ValueError: with the reason
    """
    parts = _split(value)
    if parts.scheme not in ("https", "http") or not value.startswith(f"{parts.scheme}://"):
        raise ValueError(f"{value!r} does not begin with https://")
    host, port = parts.hostname or "", parts.netloc.rpartition("]")[2].partition(":")
    if "@" in parts.netloc:
        raise ValueError(f"{value!r} has a user name")
    if not (_HOST.match(host) or (":" in host and parts.netloc.startswith("["))) or (port[1] and not port[2]):
        raise ValueError(f"{value!r} has no host, or one with other characters than letters, digits, . and -")


def check_redirect_uri(value: str) -> None:
    """Reject anything that can't be a redirect URI (RFC 6749, section 3.1.2; RFC 8252, section 7).

    :raises ValueError: with the reason
    """
    scheme = value.partition(":")[0]
    if "*" in value:
        raise ValueError(f"{value!r} has a *: write each address out, since they are compared to the letter")
    if scheme in ("https", "http"):
        check_url(value)
        return
    _split(value)
    if not _SCHEME.match(scheme):
        raise ValueError(f"{value!r} can't be a redirect URI")
    if "." not in scheme:
        raise ValueError(f"{value!r}: an app's own scheme has a dot in it, as com.example.app (RFC 8252, section 7.1)")


def check_origin(value: str) -> None:
    """Reject anything that a browser wouldn't send as an origin (RFC 6454, section 6.2).

    :raises ValueError: with the reason
    """
    try:
        check_url(value)
    except ValueError:
        raise ValueError(f"{value!r} is no origin; write it as https://app.example.com") from None
    parts = urlsplit(value)
    usual = {"https": 443, "http": 80}[parts.scheme]
    if value != f"{parts.scheme}://{parts.netloc.lower()}" or parts.port == usual or len(value) > MAX_ORIGIN_LENGTH:
        raise ValueError(f"{value!r} is no origin; write it as https://app.example.com, in lower case, without a path")


def check_resource(value: str) -> None:
    """Reject anything that isn't an absolute URI without a fragment (RFC 8707, section 2).

    :raises ValueError: with the reason
    """
    if not _split(value).scheme or len(value) > MAX_RESOURCE_LENGTH:
        raise ValueError(
            f"{value!r} is no URI of at most {MAX_RESOURCE_LENGTH} characters; write it as https://api.example.com"
        )


def _split(value: str) -> SplitResult:
    """Split a URI that has only valid characters and no fragment. Raises ValueError."""
    if "#" in value:
        raise ValueError(f"{value!r} has a fragment: leave out # and what follows it")
    if len(value) > MAX_LENGTH or not _URI.match(value):
        raise ValueError(f"{value[:MAX_LENGTH]!r} is no URL, or is longer than {MAX_LENGTH} characters")
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 - raises for one that is none
    except ValueError:
        raise ValueError(f"{value!r} is no URL") from None
    return parts


def is_loopback(uri: str) -> bool:
    """Return whether a redirect URI leads to a native app on the user's own machine (RFC 8252, section 7.3)."""
    return _portless(uri) is not None


def is_native(uri: str) -> bool:
    """Return whether a URI leads to an app on the user's own device (RFC 8252, section 7)."""
    return is_loopback(uri) or not uri.startswith(("https://", "http://"))


def is_plain_http(uri: str) -> bool:
    """Return whether a URI leads to another machine without TLS."""
    return uri.startswith("http://") and not is_loopback(uri)


def allows_redirect(registered: tuple[str, ...], uri: str) -> bool:
    """Return whether ``uri`` matches a registered one exactly, except for the port of a loopback URI (RFC 8252)."""
    if uri in registered:
        return True
    wanted = _portless(uri)
    return wanted is not None and any(_portless(each) == wanted for each in registered)


def _portless(uri: str) -> tuple[str, str] | None:
    """Return the host and the rest of a loopback URI, without its port; None for any other URI."""
    if not uri.startswith("http://") or len(uri) > MAX_LENGTH:
        return None
    found = _LOOPBACK.match(uri)
    if found is None or int(found[2] or 0) > LAST_PORT:
        return None
    return found[1], found[3]


def is_document_id(client_id: str) -> bool:
    """Return whether a client id can be the URL of a metadata document."""
    if not client_id.startswith("https://") or len(client_id) > MAX_CLIENT_ID_LENGTH:
        return False
    try:
        check_url(client_id)
    except ValueError:
        return False
    segments = urlsplit(client_id).path.split("/")
    return len(segments) > 1 and not any(unquote(each) in (".", "..") for each in segments)


def admits(client_id: str) -> bool:
    """Return whether the operator accepts an app identified by this URL alone."""
    if not settings.client_documents or not is_document_id(client_id):
        return False
    hosts, host = settings.client_document_hosts, host_of_id(client_id)
    return not hosts or any(host == each or (each[:2] == "*." and host.endswith(each[1:])) for each in hosts)


def host_of_id(client_id: str) -> str:
    """Return the host, which tells a user whose app it is."""
    return urlsplit(client_id).hostname or ""


def admitted_groups() -> tuple[str, ...]:
    """Return the groups whose members may use such apps; empty if every account may."""
    named: tuple[str, ...] = settings.client_documents
    return () if EVERYONE in named else named
