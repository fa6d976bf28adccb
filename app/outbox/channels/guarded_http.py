"""HTTP to URLs provided by apps, protected against server-side request forgery.

A host name is resolved once, and the connection goes to the checked address, so that a DNS server can't change its
answer in between (DNS rebinding). TLS is verified for the host name. URLs from untrusted parties may only point to the
public internet.
"""

from __future__ import annotations

import io
import ipaddress
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, cast
from urllib.parse import urlsplit

from app.outbox.channels.attempt import Deadline, Failed, cut_off_after

PORTS = {"https": 443, "http": 80}
AGENT = "Latchkey"
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
UNICAST = ipaddress.IPv6Network("2000::/3")
PROTOCOL_ASSIGNMENTS = ipaddress.IPv4Network("192.0.0.0/24")
"""IETF protocol assignments (RFC 6890), used by cloud metadata services among others. Python treats most of it as
public."""

MAX_ADDRESSES = 8
"""Maximum addresses to try per host name. A name can have any number of them, all pointing to other people's hosts."""

MAX_ANSWER_BYTES = 1 << 20
"""Maximum bytes read of a response, including headers and chunk sizes."""

_JSON = re.compile(r"application/([a-z0-9!#$&^_.-]+\+)?json\s*(;.*)?\Z", re.IGNORECASE)
_MAX_AGE = re.compile(r'max-age\s*=\s*"?([0-9]{1,9})"?\Z', re.IGNORECASE)


class ForbiddenAddress(OSError):
    """The host name resolves to an address that must not be connected to."""


class _Limited(io.RawIOBase):
    """Raw stream of a response that fails beyond ``MAX_ANSWER_BYTES`` bytes."""

    def __init__(self, sock: socket.socket) -> None:
        self._raw = sock.makefile("rb", buffering=0)
        self._left = MAX_ANSWER_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into ``buffer``; return the number of bytes read. Raises HTTPException beyond the limit."""
        count = self._raw.readinto(buffer) or 0
        self._left -= count
        if self._left < 0:
            raise HTTPException("an answer without an end")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _LimitedSocket:
    """The part of the socket interface that a response needs, with limited reads."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Limited(self._sock))


class _LimitedResponse(HTTPResponse):
    """A response of limited size, whatever its headers claim.

    For a chunk of size -1 Python would read until the connection ends, although chunk sizes have no sign (RFC 9112,
    section 7.1). It also accepts a hundred header lines of 64 KiB.
    """

    def __init__(self, sock: socket.socket, *rest: Any, **more: Any) -> None:
        super().__init__(cast("socket.socket", _LimitedSocket(sock)), *rest, **more)


class NotFetched(Exception):
    """A document could not be fetched; ``reason`` is a key of ``REASONS``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


REASONS = {
    "address": "its server can't be reached on the public internet",
    "unreachable": "its server can't be reached on the public internet",
    "certificate": "its server's certificate is not trusted",
    "slow": "its server takes too long",
    "broken": "its server's answer is no HTTP",
    "redirect": "its server redirects, which is not followed",
    "status": "its server's answer is not 200",
    "type": "its content type is not application/json",
    "encoding": "it is compressed",
    "large": "it is too large",
}
"""The first two share a text so that a stranger can't probe which host names exist in the operator's network."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A fetched document.

    :ivar max_age: seconds for which the server allows caching, 0 for not at all; None if it doesn't say
    """

    body: bytes
    max_age: int | None


def is_public(address: str) -> bool:
    """Return whether an IP address is on the public internet rather than in a private network (RFC 6890)."""
    resolved = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(resolved, ipaddress.IPv4Address):
        return resolved.is_global and not resolved.is_multicast and resolved not in PROTOCOL_ASSIGNMENTS
    if resolved in NAT64:  # an IPv4 address as reached from an IPv6-only network (RFC 6052)
        return is_public(str(ipaddress.IPv4Address(int(resolved) & 0xFFFFFFFF)))
    inner = resolved.ipv4_mapped or resolved.sixtofour
    if inner is not None:
        return is_public(str(inner))
    return resolved in UNICAST and resolved.is_global


def is_public_or_loopback(address: str) -> bool:
    """Return whether an IP address is public or loopback, for development and tests."""
    return is_public(address) or ipaddress.ip_address(address.partition("%")[0]).is_loopback


def connect(
    url: str, deadline: Deadline, *, within: float, allows: Callable[[str], bool] | None = None
) -> HTTPConnection:
    """Return a connection to the server of ``url`` that is cut off at ``deadline``.

    :param within: seconds for name resolution and connecting
    :param allows: predicate for the IP addresses that may be connected to; None for any
    :raises OSError: when the server can't be reached, or its certificate is not trusted
    :raises ForbiddenAddress: when any of its addresses is not allowed
    """
    until = time.monotonic() + within
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    addresses = _resolve(host, port, within)
    if allows is not None and not all(map(allows, addresses)):
        raise ForbiddenAddress
    sock = _first_open(addresses[:MAX_ADDRESSES], port, until)
    context = ssl.create_default_context() if parts.scheme == "https" else None
    connection = HTTPSConnection(host, port, context=context) if context else HTTPConnection(host, port)
    connection.response_class = _LimitedResponse
    connection.auto_open = 0  # it would resolve the name again
    connection.sock = sock
    try:
        if context:
            connection.sock = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
        deadline.attach(connection)
        if isinstance(connection.sock, ssl.SSLSocket):
            connection.sock.do_handshake()
    except BaseException:
        connection.close()
        raise
    return connection


def _resolve(host: str, port: int, seconds: float) -> list[str]:
    """Return the IP addresses of a host. Runs in a thread because the system's resolver has no timeout."""
    result: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            result.put(list(dict.fromkeys(str(each[4][0]) for each in addresses)))
        except OSError as error:
            result.put(error)
        except UnicodeError:
            result.put(socket.gaierror(socket.EAI_NONAME, "not a name that can be looked up"))

    threading.Thread(target=look_up, name="resolve", daemon=True).start()
    try:
        addresses = result.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(addresses, Exception):
        raise addresses
    return addresses


def _first_open(addresses: list[str], port: int, until: float) -> socket.socket:
    """Return a socket connected to the first address that accepts. Raises the OSError of the last one otherwise."""
    for number, each in enumerate(addresses, 1):
        left = max(0.01, until - time.monotonic())
        try:
            return socket.create_connection((each, port), left / (len(addresses) - number + 1))
        except OSError:
            if number == len(addresses):
                raise
    raise OSError("no address")


def fetch_json(url: str, *, most: int, within: float, allows: Callable[[str], bool]) -> Fetched:
    """Fetch a JSON document, like ``fetch``."""
    return fetch(url, most=most, within=within, allows=allows, kind=_JSON)


def fetch(
    url: str, *, most: int, within: float, allows: Callable[[str], bool], kind: re.Pattern[str] | None = None
) -> Fetched:
    """Fetch a document of at most ``most`` bytes, within ``within`` seconds overall.

    :param kind: pattern for the required content type; None for any
    :raises NotFetched: with the reason
    :raises Interrupted: when the worker stops
    """
    try:
        with cut_off_after(within) as deadline:
            connection = connect(url, deadline, within=within, allows=allows)
            try:
                return _get(connection, url, most, kind)
            finally:
                connection.close()
    except ForbiddenAddress:
        raise NotFetched("address") from None
    except ssl.SSLCertVerificationError:
        raise NotFetched("certificate") from None
    except (Failed, TimeoutError):
        raise NotFetched("slow") from None
    except OSError:
        raise NotFetched("unreachable") from None
    except HTTPException:
        raise NotFetched("broken") from None


def _get(connection: HTTPConnection, url: str, most: int, kind: re.Pattern[str] | None) -> Fetched:
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    accept = "*/*" if kind is None else "application/json"
    headers = {"Accept": accept, "Accept-Encoding": "identity", "Connection": "close", "User-Agent": AGENT}
    connection.request("GET", target, headers=headers)
    response = connection.getresponse()
    if 300 <= response.status < 400:
        raise NotFetched("redirect")
    if response.status != 200:
        raise NotFetched("status")
    if kind is not None and not kind.match(response.getheader("Content-Type", "")):
        raise NotFetched("type")
    if response.getheader("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise NotFetched("encoding")
    try:
        body = response.read(most + 1)
    except ValueError:  # a chunk size below -1
        raise NotFetched("broken") from None
    if len(body) > most:
        raise NotFetched("large")
    if response.length:
        raise NotFetched("broken")  # the body is shorter than declared
    return Fetched(body, _max_age(response))


def _max_age(response: HTTPResponse) -> int | None:
    """Return for how many seconds a response may be cached (RFC 9111, section 5.2.2); None if it doesn't say."""
    ages: list[int] = []
    for directive in response.getheader("Cache-Control", "").split(","):
        if directive.strip().lower().partition("=")[0].strip() in ("no-store", "no-cache"):
            return 0
        if found := _MAX_AGE.match(directive.strip()):
            ages.append(int(found[1]))
    return min(ages, default=None)
