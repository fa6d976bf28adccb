"""``flask selftest``: checks that operators run against their own service, over HTTP like any client.

Whether two kinds of requests get different responses or response times is found by comparing them and by a rank-sum
test.
"""

from __future__ import annotations

import json
import random
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from itertools import cycle, groupby, repeat
from math import sqrt
from statistics import median
from urllib.parse import urlsplit

import click

from app.cli.group import OperatorGroup
from app.command_language import N_, gettext, ngettext
from app.extensions import settings

selftest = OperatorGroup("selftest", help=N_("Measure whether the running service keeps its promises."))

MAX_Z = 4.0
"""Threshold in standard deviations above which times differ. Chance exceeds it once in 16,000 comparisons."""

SAMPLES = 20
"""Responses from which the random parts are determined."""

WRONG_CODE = "00000000"
NOBODY = "unknown"
Fields = Callable[[str], Mapping[str, str]]
REQUESTS: dict[str, tuple[str, Fields]] = {
    "send-code": ("/us-signin/send-code", lambda identity: {"identity": identity, "chosen_method": "email"}),
    "sign-in": ("/us-signin", lambda identity: {"identity": identity, "passcode": WRONG_CODE}),
}
REGISTER: tuple[str, Fields] = ("/register", lambda identity: {"email": identity})
REGISTER_EACH = 3
"""Registrations per address. Unknown addresses are new each time, so the others must not be used up."""

WARM_UP = 20
"""Initial requests of each class that are discarded."""

PATIENCE = 10.0
"""Response timeout in seconds."""


@selftest.command("enumeration")
@click.option("--url", help=N_("URL of the service; default: its public URL."))
@click.option("--known", multiple=True, required=True, metavar="ADDRESS", help=N_("Has an account. May be repeated."))
@click.option("--unconfirmed", multiple=True, metavar="ADDRESS", help=N_("Has one with an unproved address."))
@click.option("--disabled", multiple=True, metavar="ADDRESS", help=N_("Has one that is disabled."))
@click.option(
    "--requests", "count", type=click.IntRange(20), default=1000, show_default=True, help=N_("For each class.")
)
@click.option("--rps", type=click.FloatRange(0), default=0, help=N_("Maximum requests per second."))
@click.option("--median-ms", type=float, default=1.0, show_default=True, help=N_("Maximum difference between medians."))
@click.option("--register", is_flag=True, help=N_("Measure registration too. Creates accounts that no one confirms."))
def enumeration(
    url: str | None, count: int, rps: float, median_ms: float, register: bool, **given: tuple[str, ...]
) -> None:
    """Measure whether responses reveal who has an account.

    Asks a running service about people with and without one, and compares its responses and how long they take.

    Starts nothing and needs no database. Real codes are requested: run it against a copy, with LATCHKEY_LIMITS=off.
    Exits with 1 if the responses or the times differ (|z| > 4, or medians by 1 ms), with 2 if it can't measure.
    """
    people = {name: addresses for name, addresses in given.items() if addresses}
    asked_about = _alike_many(people)
    service = Service(url or settings.public_url, _host(url), rps)
    try:
        found = [_compare(service, name, *REQUESTS[name], _in_turn(asked_about), count, median_ms) for name in REQUESTS]
        if register:
            fresh = {NOBODY: _fresh(people), **{name: cycle(addresses) for name, addresses in people.items()}}
            times = min(count, REGISTER_EACH * min(map(len, people.values())))
            found.append(_compare(service, "register", *REGISTER, fresh, times, median_ms))
    except CannotMeasure as why:
        click.echo(str(why), err=True)
        sys.exit(2)
    finally:
        service.close()
    text = N_("Nothing reveals who has an account.") if all(found) else N_("Responses reveal who has an account.")
    click.echo(gettext(text))
    sys.exit(0 if all(found) else 1)


def _compare(
    service: Service,
    name: str,
    path: str,
    fields: Fields,
    people: Mapping[str, Iterator[str]],
    count: int,
    median_ms: float,
) -> bool:
    """Send the requests, print the results, and return whether all classes are indistinguishable."""
    found = ask_in_turn(service, path, fields, people, count)
    click.echo(gettext("{name}: {count} requests for each class", name=name, count=count))
    alike = [_print_comparison(kind, found[kind], found[NOBODY], median_ms) for kind in found]
    return all(alike)


def _print_comparison(
    name: str, replies: Sequence[tuple[Reply, str]], nobodys: Sequence[tuple[Reply, str]], most: float
) -> bool:
    times, base = ([reply.seconds for reply, _ in each] for each in (replies, nobodys))
    first = replies[0][0]
    statuses = ",".join(str(status) for status in sorted({reply.status for reply, _ in replies}))
    milliseconds = f"{median(times) * 1000:7.3f}"
    middle = gettext("median {milliseconds} ms", milliseconds=milliseconds)
    line = f"  {name:<12} {statuses:<8} {middle}"
    if replies is nobodys:
        click.echo(line)
        cookies = " ".join(first.cookie_names) or gettext("none")
        click.echo("  " + gettext("headers: {names}", names=" ".join(first.header_names)))
        click.echo("  " + gettext("cookies: {names}", names=cookies))
        return True
    z, gap = mann_whitney_z(times, base), median(times) - median(base)
    found = differences(template_of(nobodys[:SAMPLES]), template_of(replies[:SAMPLES]))
    if {reply.status for reply, _ in replies} != {reply.status for reply, _ in nobodys}:
        found.append(gettext("the statuses"))
    differing = ngettext("{count} difference", "{count} differences", len(found))
    click.echo(f"{line}  {gap * 1000:+7.3f} ms  z {z:+6.2f}  {differing}")
    for difference in found:
        click.echo("    " + gettext("unlike: {difference}", difference=difference))
    return not found and abs(z) <= MAX_Z and abs(gap) * 1000 <= most


def _alike_many(people: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """Return equally many addresses for each class, since earlier requests for an address affect later ones."""
    least = min(map(len, people.values()))
    return {NOBODY: made_up(people["known"][:least]), **{name: each[:least] for name, each in people.items()}}


def _in_turn(people: Mapping[str, Sequence[str]]) -> dict[str, Iterator[str]]:
    return {name: cycle(each) for name, each in people.items()}


def _fresh(people: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield addresses that no one has, endlessly."""
    for addresses in repeat(people["known"]):
        yield from made_up(addresses)


def _host(url: str | None) -> str:
    """Return the Host header for a service reached at a loopback address."""
    ours = url and urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1") and settings.is_production
    return urlsplit(settings.origin).netloc if ours else ""


NO_ANSWER = N_("The service doesn't answer ({error}). Is the URL right?")
LIMITED = N_("The service returned 429. Raise its limits, or run it with LATCHKEY_LIMITS=off on a copy.")
UNEXPECTED = N_("The service returned {status} for {path}. Check its log.")


class CannotMeasure(Exception):
    """The service doesn't respond, or enforces limits that ordinary users wouldn't reach."""


class Service:
    """Client for a running service at ``url``, without cookies, on a single connection.

    :param host: the service's host name, when it is reached at another address
    :param rps: maximum requests per second; 0 for no limit, one after the other
    """

    def __init__(self, url: str, host: str = "", rps: float = 0) -> None:
        parts = urlsplit(url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._connection = kind(parts.hostname or "", parts.port, timeout=PATIENCE)
        self._host = host or parts.netloc
        self._pause = 1 / rps if rps else 0.0

    def post(self, path: str, fields: Mapping[str, str]) -> Reply:
        """Post ``fields`` and return the response.

        :raises CannotMeasure: when there is no response, on a server error, redirect or 404, and when a limit was
            reached
        """
        time.sleep(self._pause)
        body = json.dumps(fields).encode()
        headers = {"Host": self._host, "Content-Type": "application/json", "Accept": "application/json"}
        try:
            began = time.perf_counter()
            self._connection.request("POST", path, body, headers)
            response = self._connection.getresponse()
            content = response.read()
            seconds = time.perf_counter() - began
        except (OSError, HTTPException) as error:
            raise CannotMeasure(gettext(NO_ANSWER, error=type(error).__name__)) from error
        if response.status == 429:
            raise CannotMeasure(gettext(LIMITED))
        if response.status >= 500 or response.status in (301, 302, 303, 308, 404):
            raise CannotMeasure(gettext(UNEXPECTED, status=str(response.status), path=path))
        return Reply(response.status, tuple(response.getheaders()), content, seconds)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def ask_in_turn(
    service: Service, path: str, fields: Callable[[str], Mapping[str, str]], people: Mapping[str, Iterator[str]],
    count: int,
) -> dict[str, list[tuple[Reply, str]]]:  # fmt: skip
    """Send ``count`` requests for each class of ``people``, in an order shuffled each round.

    Return the responses by class, each with the identity requested. A warm-up is sent first and discarded.
    """
    found: dict[str, list[tuple[Reply, str]]] = {name: [] for name in people}
    names = list(people)
    for number in range(min(WARM_UP, count) + count):
        random.shuffle(names)
        for name in names:
            identity = next(people[name])
            reply = service.post(path, fields(identity))
            if number >= min(WARM_UP, count):
                found[name].append((reply, identity))
    return found


def made_up(like: Sequence[str]) -> list[str]:
    """Return addresses that no one has, each with the length and domain of one in ``like``."""
    letters = "bcdfghjklmnpqrstvwxz"
    split = [address.rpartition("@") for address in like]
    return ["".join(random.choices(letters, k=len(local))) + at + domain for local, at, domain in split]  # noqa: S311


# --- comparing responses ------------------------------------------------------------------------


_PIECES = re.compile(rb"([A-Za-z0-9_=+/.-]+)")
_IGNORED = frozenset(("date",))
"""Headers that only contain the time."""

Template = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """A response.

    :ivar seconds: from the first byte of the request to the last byte of the response
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    seconds: float

    @property
    def header_names(self) -> tuple[str, ...]:
        """Names of all headers, sorted."""
        return tuple(sorted({name.lower() for name, _ in self.headers}))

    @property
    def cookie_names(self) -> tuple[str, ...]:
        """Names of all cookies it sets, sorted."""
        set_ = [value.partition("=")[0] for name, value in self.headers if name.lower() == "set-cookie"]
        return tuple(sorted(set_))


def template_of(replies: Sequence[tuple[Reply, str]]) -> Template | None:
    """Return what these responses of one class have in common, with a mask for each piece that differs between them.

    A mask keeps the length of its piece. The requested identity is removed first.
    :param replies: each with its identity; ten are enough to detect what is random
    :return: None when they differ in more than pieces of equal length, so that nothing can be masked
    """
    found = [_pieces(reply, identity) for reply, identity in replies]
    if len({tuple(map(len, pieces)) for pieces in found}) != 1:
        return None
    return tuple(_mask(variants) for variants in zip(*found, strict=True))


def differences(one: Template | None, other: Template | None) -> list[str]:
    """Return the differences between two classes of responses, one per line; empty when they are indistinguishable."""
    if one is None or other is None:
        return [] if one is other else [gettext(LENGTHS)]
    if len(one) != len(other):
        return [gettext("one has {count} pieces, the other {other}", count=len(one), other=len(other))]
    pairs = [(a, b) for a, b in zip(one, other, strict=True) if a != b]
    return [f"{_quoted(a)} / {_quoted(b)}" for a, b in pairs[:5]]


LENGTHS = N_("the answers of one class differ in their lengths, those of the other don't")


def _quoted(piece: bytes) -> str:
    return repr(piece.decode(errors="replace"))


def _pieces(reply: Reply, identity: str) -> list[bytes]:
    lines = [f"{reply.status}"]
    lines += [f"{name.lower()}: {value}" for name, value in sorted(reply.headers) if name.lower() not in _IGNORED]
    text = "\n".join(lines).encode() + b"\n\n" + reply.body
    return _PIECES.split(text.replace(identity.encode(), b"<identity>"))


def _mask(variants: Sequence[bytes]) -> bytes:
    return variants[0] if len(set(variants)) == 1 else b"<%d random>" % len(variants[0])


def mann_whitney_z(one: Sequence[float], other: Sequence[float]) -> float:
    """Return how many standard deviations the ranks of ``one`` are above those expected without a difference.

    Uses the normal approximation without continuity correction, with the variance corrected for ties (Mann and Whitney
    1947; Siegel 1956). Accurate from about 20 values in each. 0.0 when all values are equal or either is empty.
    """
    n, m = len(one), len(other)
    everything = sorted([(value, True) for value in one] + [(value, False) for value in other])
    total = n + m
    ranks_of_one, tied, before = 0.0, 0.0, 0
    for _, group in groupby(everything, key=lambda pair: pair[0]):
        members = [is_one for _, is_one in group]
        size = len(members)
        ranks_of_one += sum(members) * (before + (size + 1) / 2)  # ties get their mean rank
        tied += size**3 - size
        before += size
    if n == 0 or m == 0 or total < 2:
        return 0.0
    variance = n * m / 12 * ((total + 1) - tied / (total * (total - 1)))
    u = ranks_of_one - n * (n + 1) / 2
    return (u - n * m / 2) / sqrt(variance) if variance > 0 else 0.0
