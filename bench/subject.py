"""What is measured: a server with accounts in its database, and a client script for each work."""

from collections.abc import Collection, Iterator
from typing import Protocol

from bench.client import Script
from bench.servers import Server

WORKS = {
    "W1": "full sign-in: send-code, then the code",
    "W2": "session check",
    "W3": "magic link followed",
    "W4": "wrong code refused",
    "W5": "passkey sign-in: the options, then the answer",
}


class Subject(Protocol):
    """A program under test. Every client of a run works on different accounts."""

    name: str
    server: Server
    without: Collection[str]
    """Works that its clients can't do."""

    def start(self) -> float:
        """Start the server; return the seconds until its first 200 response."""
        ...

    def prepare(self, work: str, operations: int) -> None:
        """Prepare the data for this many operations of a work, before measuring starts."""
        ...

    def scripts(self, work: str, clients: int) -> list[Script]:
        """Return a script for each client."""
        ...

    def finish_backlog(self) -> float:
        """Wait until the server has finished its backlog; return the seconds that took."""
        ...


def shares(count: int, clients: int, first: int) -> list[Iterator[int]]:
    """Distribute the numbers below ``count`` among the clients, without overlap, cycling endlessly from ``first``."""

    def share(client: int) -> Iterator[int]:
        number = first + client
        while True:
            yield number % count
            number += clients

    return [share(client) for client in range(clients)]


def address(number: int) -> str:
    """Return the email address of a person."""
    return f"person{number}@example.com"


def home(number: int) -> str:
    """Return the IP address of a person."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
