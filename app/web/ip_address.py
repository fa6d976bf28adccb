"""A client's IP address, trusting only the proxies the operator named."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from functools import lru_cache

UNKNOWN = "unknown"


def client_address(environ: Mapping[str, str], trusted_proxies: int) -> str:
    """Return the client's address in its shortest form, or ``unknown``.

    :param trusted_proxies: how many proxies of ours append to X-Forwarded-For; entries are counted
        from the right, and what stands further left is a claim that nobody checked
    """
    claimed = environ.get("REMOTE_ADDR", "")
    if trusted_proxies > 0:
        hops = forwarded(environ)
        claimed = hops[-trusted_proxies] if len(hops) >= trusted_proxies else ""
    return _shortest(claimed)


def forwarded(environ: Mapping[str, str]) -> list[str]:
    """Return the entries of X-Forwarded-For: the proxy next to us has written the last one."""
    return [hop.strip() for hop in environ.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]


@lru_cache(maxsize=4096)
def _shortest(claimed: str) -> str:
    try:
        address = ipaddress.ip_address(_without_port(claimed))
    except ValueError:
        return UNKNOWN
    if address.version == 4:
        return str(address)
    return str(address.ipv4_mapped or ipaddress.IPv6Address(int(address)))  # without its zone, a name of that machine's


def _without_port(node: str) -> str:
    """Return the address of ``192.0.2.7:80``, ``[2001:db8::5]:443`` and ``[2001:db8::5]``, forms of RFC 7239 (6).

    :raises ValueError: when what follows the address is no port
    """
    if node.startswith("["):
        address, bracket, port = node[1:].partition("]")
        if not bracket or (port and not port.startswith(":")) or ":" not in address:
            raise ValueError("no address in brackets")
        port = port[1:] if port else "0"
    elif node.count(":") == 1:
        address, _, port = node.partition(":")
    else:
        return node
    if not (port.isascii() and port.isdecimal() and len(port) <= 5):
        raise ValueError("no port")
    return address
