"""Where a request came from, believing only the proxies that the operator named."""

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
        hops = [hop.strip() for hop in environ.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
        claimed = hops[-trusted_proxies] if len(hops) >= trusted_proxies else ""
    return _shortest(claimed)


@lru_cache(maxsize=4096)
def _shortest(claimed: str) -> str:
    try:
        address = ipaddress.ip_address(claimed)
    except ValueError:
        return UNKNOWN
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)
