"""Where events may be posted: the public internet over https, and networks that the operator names.

A URL is checked when an endpoint is added, as far as it shows where it leads, and again at each attempt, after its name
was resolved (OWASP: server-side request forgery).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from urllib.parse import SplitResult

from app.errors import Rejected
from app.extensions import settings
from app.outbox.channels.guarded_http import is_public
from app.webhooks.models import MAX_URL_LENGTH
from config.hosts import ascii_host
from config.types import check_reachable, is_loopback, split_url

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def check_url(text: str) -> str:
    """Return the URL of an endpoint, with its host in lower case and A-labels.

    :raises Rejected: ``webhook_url_invalid``, or ``webhook_url_forbidden`` if it leads to a network that the operator
        has not named, or to the internet over http://
    """
    try:
        parts = split_url(text.strip())
        check_reachable(parts)
        host = ascii_host(parts.hostname or "")
    except ValueError:
        raise Rejected("webhook_url_invalid", field="url") from None
    is_valid = parts.scheme in ("https", "http") and "@" not in parts.netloc and not parts.fragment
    if not is_valid or len(text) > MAX_URL_LENGTH:
        raise Rejected("webhook_url_invalid", field="url")
    if not _is_allowed(parts, host):
        raise Rejected("webhook_url_forbidden", field="url")
    host = f"[{host}]" if ":" in host else host
    return parts._replace(netloc=f"{host}:{parts.port}" if parts.port else host).geturl()


def address_check(scheme: str) -> Callable[[str], bool]:
    """Return a check for whether an IP address may be connected to; with http://, only in the operator's networks."""
    return _is_allowed_over_https if scheme == "https" else is_internal


def is_internal(address: str) -> bool:
    """Return whether an address is in a network that the operator names or, in development, on this machine.

    Never a link-local one, where clouds have their metadata services (RFC 3927, RFC 4291 section 2.5.6).
    """
    found = _unmapped(address)
    if found.is_link_local or found.is_multicast or found.is_unspecified:
        return False
    if not settings.is_production and found.is_loopback:
        return True
    networks = map(ipaddress.ip_network, settings.webhook_networks)
    return any(found.version == network.version and found in network for network in networks)


def _is_allowed_over_https(address: str) -> bool:
    return is_public(address) or is_internal(address)


def _unmapped(address: str) -> Address:
    """Return an IP address, with IPv4-mapped IPv6 as IPv4."""
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def _is_allowed(parts: SplitResult, host: str) -> bool:
    """Return whether a literal IP address is allowed. A host name is checked when it is resolved."""
    allows = address_check(parts.scheme)
    try:
        return allows(host)
    except ValueError:  # a host name
        if is_loopback(host):
            return is_internal("127.0.0.1") or is_internal("::1")
        return parts.scheme == "https" or bool(settings.webhook_networks)
