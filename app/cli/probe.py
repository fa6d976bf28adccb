"""Ask a running service about people in turn, over HTTP like any client, and keep the answers."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from app.cli.response_diff import Reply

WARM_UP = 20
"""Requests of each class that are made first and not looked at."""

PATIENCE = 10.0
"""Seconds that an answer may take."""


class CannotMeasure(Exception):
    """The service does not answer, or not as somebody would be answered who asks now and then."""


class Service:
    """A running service at ``url``, spoken to as a program without cookies, on one connection.

    :param host: what it is called, when it is reached by another address
    :param rps: requests a second at the most; 0 for as many as it answers one after the other
    """

    def __init__(self, url: str, host: str = "", rps: float = 0) -> None:
        parts = urlsplit(url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._connection = kind(parts.hostname or "", parts.port, timeout=PATIENCE)
        self._host = host or parts.netloc
        self._pause = 1 / rps if rps else 0.0

    def post(self, path: str, fields: Mapping[str, str]) -> Reply:
        """Post ``fields`` and return the answer.

        :raises CannotMeasure: when there is none, when it is busy, and when a limit says to wait
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
            raise CannotMeasure(f"The service does not answer ({type(error).__name__}). Is the URL right?") from error
        if response.status == 429:
            raise CannotMeasure("The service says 429. Raise its limits, or run it with LATCHKEY_LIMITS=off on a copy.")
        if response.status >= 500 or response.status in (301, 302, 303, 308, 404):
            raise CannotMeasure(f"The service says {response.status} to {path}. Look what its log says.")
        return Reply(response.status, tuple(response.getheaders()), content, seconds)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def ask_in_turn(
    service: Service, path: str, fields: Callable[[str], Mapping[str, str]], people: Mapping[str, Iterator[str]],
    count: int,
) -> dict[str, list[tuple[Reply, str]]]:  # fmt: skip
    """Ask ``count`` times about each class of ``people``, one after the other in an order that changes each round.

    Return the answers by class, each with the identity asked about. A warm-up goes before, and is left out.
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
    """Return addresses that nobody has, each as long as one of ``like`` and at its domain."""
    letters = "bcdfghjklmnpqrstvwxz"
    split = [address.rpartition("@") for address in like]
    return ["".join(random.choices(letters, k=len(local))) + at + domain for local, at, domain in split]  # noqa: S311
