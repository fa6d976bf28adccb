"""HTTP to addresses that apps have named.

A name is resolved once, and what was checked is what is connected to, so that a name server can't change its answer in
between (DNS rebinding). TLS is verified for the name. What a stranger named may be on the public internet alone.
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
PROTOCOLS = ipaddress.IPv4Network("192.0.0.0/24")
"""Assigned for protocols (RFC 6890), metadata services of clouds among them. Python takes most of it for public."""

MOST_ADDRESSES = 8
"""Addresses of a name that are tried: it may have any number of them, all of other people's machines."""

LARGEST_ANSWER = 1 << 20
"""Bytes of an answer that are read at most, its header and the sizes of its chunks included."""

_JSON = re.compile(r"application/([a-z0-9!#$&^_.-]+\+)?json\s*(;.*)?\Z", re.IGNORECASE)
_MAX_AGE = re.compile(r'max-age\s*=\s*"?([0-9]{1,9})"?\Z', re.IGNORECASE)


class ForbiddenAddress(OSError):
    """The name leads to an address that must not be connected to."""


class _Limited(io.RawIOBase):
    """What a server sends, up to ``LARGEST_ANSWER``."""

    def __init__(self, sock: socket.socket) -> None:
        self._raw = sock.makefile("rb", buffering=0)
        self._left = LARGEST_ANSWER

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer``; return how much came. Raises HTTPException for more than the limit."""
        count = self._raw.readinto(buffer) or 0
        self._left -= count
        if self._left < 0:
            raise HTTPException("an answer without an end")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _LimitedSocket:
    """What a response needs of its socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Limited(self._sock))


class _Answer(HTTPResponse):
    """An answer that ends, whatever it says of its size.

    Python reads a chunk of size -1 as all that comes (RFC 9112, section 7.1), and a hundred header lines of 64 KiB.
    """

    def __init__(self, sock: socket.socket, *rest: Any, **more: Any) -> None:
        super().__init__(cast("socket.socket", _LimitedSocket(sock)), *rest, **more)


class NotFetched(Exception):
    """A document wasn't fetched; ``reason`` is one of ``REASONS``."""

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
"""The first two are one to who asks: a stranger could else try which names there are inside the operator's network."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a server sent.

    :ivar max_age: seconds for which it may be kept as its server says, 0 for not at all; None where it doesn't say
    """

    body: bytes
    max_age: int | None


def is_public(address: str) -> bool:
    """Whether an address belongs to the internet, and to no private network (RFC 6890)."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv4Address):
        return found.is_global and not found.is_multicast and found not in PROTOCOLS
    if found in NAT64:  # an IPv4 address, as it is reached from a network that has IPv6 alone (RFC 6052)
        return is_public(str(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)))
    inner = found.ipv4_mapped or found.sixtofour
    if inner is not None:
        return is_public(str(inner))
    return found in UNICAST and found.is_global


def is_public_or_loopback(address: str) -> bool:
    """Whether an address is public, or this machine's own: for development and tests."""
    return is_public(address) or ipaddress.ip_address(address.partition("%")[0]).is_loopback


def connect(
    url: str, deadline: Deadline, *, within: float, allows: Callable[[str], bool] | None = None
) -> HTTPConnection:
    """Return a connection to the server of ``url``, which ``deadline`` ends.

    :param within: seconds for name resolution and connecting
    :param allows: whether an address may be connected to; None for any
    :raises OSError: when the server can't be reached, or its certificate is not trusted
    :raises ForbiddenAddress: when one of its addresses is not allowed
    """
    until = time.monotonic() + within
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    addresses = _resolve(host, port, within)
    if allows is not None and not all(map(allows, addresses)):
        raise ForbiddenAddress
    sock = _first_open(addresses[:MOST_ADDRESSES], port, until)
    context = ssl.create_default_context() if parts.scheme == "https" else None
    connection = HTTPSConnection(host, port, context=context) if context else HTTPConnection(host, port)
    connection.response_class = _Answer
    connection.auto_open = 0  # it would resolve the name again
    connection.sock = sock
    try:
        if context:
            connection.sock = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
        deadline.through(connection)
        if isinstance(connection.sock, ssl.SSLSocket):
            connection.sock.do_handshake()
    except BaseException:
        connection.close()
        raise
    return connection


def _resolve(host: str, port: int, seconds: float) -> list[str]:
    """Return the addresses of a host. The system's resolver has no time limit of its own, so a thread asks it."""
    answer: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answer.put(list(dict.fromkeys(str(each[4][0]) for each in found)))
        except OSError as error:
            answer.put(error)
        except UnicodeError:
            answer.put(socket.gaierror(socket.EAI_NONAME, "not a name that can be looked up"))

    threading.Thread(target=look_up, name="resolve", daemon=True).start()
    try:
        found = answer.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(found, Exception):
        raise found
    return found


def _first_open(addresses: list[str], port: int, until: float) -> socket.socket:
    """Return a socket to the first of these addresses that answers. Raises OSError of the last."""
    for place, each in enumerate(addresses, 1):
        left = max(0.01, until - time.monotonic())
        try:
            return socket.create_connection((each, port), left / (len(addresses) - place + 1))
        except OSError:
            if place == len(addresses):
                raise
    raise OSError("no address")


def fetch_json(url: str, *, most: int, within: float, allows: Callable[[str], bool]) -> Fetched:
    """Fetch a JSON document, as ``fetch``."""
    return fetch(url, most=most, within=within, allows=allows, kind=_JSON)


def fetch(
    url: str, *, most: int, within: float, allows: Callable[[str], bool], kind: re.Pattern[str] | None = None
) -> Fetched:
    """Fetch a document, of ``most`` bytes and in ``within`` seconds for all of it.

    :param kind: what its content type matches; None for any
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
    answer = connection.getresponse()
    if 300 <= answer.status < 400:
        raise NotFetched("redirect")
    if answer.status != 200:
        raise NotFetched("status")
    if kind is not None and not kind.match(answer.getheader("Content-Type", "")):
        raise NotFetched("type")
    if answer.getheader("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise NotFetched("encoding")
    try:
        body = answer.read(most + 1)
    except ValueError:  # a chunk of a size below -1
        raise NotFetched("broken") from None
    if len(body) > most:
        raise NotFetched("large")
    if answer.length:
        raise NotFetched("broken")  # it ended before its length
    return Fetched(body, _max_age(answer))


def _max_age(answer: HTTPResponse) -> int | None:
    """Return for how many seconds an answer may be kept (RFC 9111, section 5.2.2)."""
    ages: list[int] = []
    for directive in answer.getheader("Cache-Control", "").split(","):
        if directive.strip().lower().partition("=")[0].strip() in ("no-store", "no-cache"):
            return 0
        if found := _MAX_AGE.match(directive.strip()):
            ages.append(int(found[1]))
    return min(ages, default=None)
