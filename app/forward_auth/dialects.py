"""How each proxy describes the original request: one family of headers per endpoint, never another as a fallback.

Headers are only trusted from a listed proxy (``LATCHKEY_FORWARD_AUTH_PROXIES``). Proxies differ in which of a visitor's
headers they pass on, so a visitor could forge a second family.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from app.forward_auth.rules import Address, Network

_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.IGNORECASE)
_METHOD = re.compile(r"[A-Za-z][A-Za-z-]{0,31}")
URL = re.compile(r"https?://([^/?#\s]+)([/?]\S*)?", re.IGNORECASE)
_TARGET = re.compile(r"/[\x21-\xff]*")
MAX_TARGET_LENGTH = 16_384
"""Maximum length of a path with its query."""


class Unreadable(ValueError):
    """A proxy did not describe the original request, or did so in two ways.

    :ivar header: the header at fault
    """

    def __init__(self, header: str) -> None:
        super().__init__(header)
        self.header = header


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """A visitor's request to an app.

    :ivar host: in lower case, with its port if one was named
    :ivar target: path and query, encoded as received
    :ivar address: the visitor's address; None if the proxy doesn't send it
    """

    host: str
    method: str
    target: str
    address: Address | None

    @property
    def path(self) -> str:
        """The path without the query."""
        return self.target.partition("?")[0]


def is_trusted(peer: str, proxies: tuple[str, ...]) -> bool:
    """Return whether the peer that is connected to us is a listed proxy."""
    address = address_of(peer)
    return address is not None and any(address in network for network in _networks(proxies))


def read_nginx(environ: Mapping[str, str], proxies: tuple[str, ...]) -> AccessRequest:
    """Return the request in X-Original-URL and X-Original-Method. Raises Unreadable."""
    url = URL.fullmatch(_single(environ, "X-Original-URL"))
    if url is None:
        raise Unreadable("X-Original-URL")
    target = url[2] or "/"
    return _request(
        ("X-Original-URL", url[1]),
        ("X-Original-Method", _single(environ, "X-Original-Method")),
        ("X-Original-URL", target if target.startswith("/") else f"/{target}"),
        visitor_of(environ, proxies),
    )


def read_forwarded(environ: Mapping[str, str], proxies: tuple[str, ...]) -> AccessRequest:
    """Return the request in X-Forwarded-Host, -Method and -Uri. Raises Unreadable."""
    host, method, uri = (_single(environ, f"X-Forwarded-{part}") for part in ("Host", "Method", "Uri"))
    return _request(
        ("X-Forwarded-Host", host),
        ("X-Forwarded-Method", method),
        ("X-Forwarded-Uri", uri),
        visitor_of(environ, proxies),
    )


def read_envoy(environ: Mapping[str, str], prefix: str, proxies: tuple[str, ...]) -> AccessRequest:
    """Return the current request: Envoy sends the visitor's own, with ``prefix`` before its path.

    :raises Unreadable: like the others
    """
    raw = environ.get("RAW_URI", "").partition("?")[0]
    query = environ.get("QUERY_STRING", "")
    if not raw.startswith(prefix):  # encoded differently: it must not count as a request for "/"
        raise Unreadable("path")
    target = (raw.removeprefix(prefix) or "/") + (f"?{query}" if query else "")
    return _request(
        ("Host", environ.get("HTTP_HOST", "")),
        ("method", environ.get("REQUEST_METHOD", "")),
        ("path", target),
        visitor_of(environ, proxies),
    )


def visitor_of(environ: Mapping[str, str], proxies: tuple[str, ...]) -> Address | None:
    """Return the last address in X-Forwarded-For that is no proxy of ours: anything before it is unverified."""
    networks = _networks(proxies)
    for hop in reversed(environ.get("HTTP_X_FORWARDED_FOR", "").split(",")):
        address = address_of(hop.strip())
        if address is None or not _is_in(address, networks):
            return address
    return None


def _request(
    host: tuple[str, str], method: tuple[str, str], target: tuple[str, str], address: Address | None
) -> AccessRequest:
    """Return a request made of these parts, each with the name of its header. Raises Unreadable."""
    for (header, text), rule in ((host, _HOST), (method, _METHOD), (target, _TARGET)):
        if not rule.fullmatch(text) or len(text) > MAX_TARGET_LENGTH:
            raise Unreadable(header)
    return AccessRequest(host[1].lower(), method[1].upper(), target[1], address)


def _single(environ: Mapping[str, str], header: str) -> str:
    """Return a header that was sent once. Raises Unreadable: two are joined by a comma and a space."""
    text = environ.get("HTTP_" + header.upper().replace("-", "_"), "")
    if not text or ", " in text:
        raise Unreadable(header)
    return text


@lru_cache(maxsize=16)
def _networks(proxies: tuple[str, ...]) -> Sequence[Network]:
    return tuple(ipaddress.ip_network(each) for each in proxies)


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


@lru_cache(maxsize=1024)
def address_of(text: str) -> Address | None:
    """Return an IP address, with IPv4-mapped IPv6 as IPv4; None if the text isn't one."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return found if isinstance(found, ipaddress.IPv4Address) else found.ipv4_mapped or found
