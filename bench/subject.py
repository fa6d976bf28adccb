"""What is measured: a server with people in its database, and how a client does each work on it."""

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
    """One program under test. Every client of a run works on people of its own."""

    name: str
    server: Server
    without: Collection[str]
    """Works that its clients do not do."""

    def start(self) -> float:
        """Start the server; return the seconds to its first 200."""
        ...

    def get_ready(self, work: str, operations: int) -> None:
        """Make what this many operations of a work need, before the clock runs."""
        ...

    def scripts(self, work: str, clients: int) -> list[Script]:
        """Return a script for each client."""
        ...

    def settle(self) -> float:
        """Wait until the server has no work left over; return the seconds that took."""
        ...


def shares(count: int, clients: int, first: int) -> list[Iterator[int]]:
    """Deal the numbers below ``count`` to the clients, each its own, round and round from ``first`` on."""

    def share(client: int) -> Iterator[int]:
        number = first + client
        while True:
            yield number % count
            number += clients

    return [share(client) for client in range(clients)]


def address(number: int) -> str:
    """Return the mail address of a person."""
    return f"person{number}@example.com"


def home(number: int) -> str:
    """Return the network address of a person."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
