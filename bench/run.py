"""One run: clients at a server for some seconds, and what that took of every processor."""

from dataclasses import dataclass

from bench.client import Script, Tally, drive
from bench.databases import Databases
from bench.servers import Server

WARM_UP = 0.5
"""Seconds of each run that are not counted."""


@dataclass(frozen=True, slots=True)
class Run:
    """What clients saw, and the seconds of processor time that the server's and the database's processes took."""

    tally: Tally
    server: float
    database: float


def run_clients(
    server: Server, scripts: list[Script], seconds: float, databases: Databases, *, port: int | None = None
) -> Run:
    """Let each script play on a connection of its own, at the server or at what stands before it on ``port``.

    PostgreSQL is one server for all subjects: its time is this run's as long as nothing else runs beside it.
    """
    spent: list[tuple[float, float]] = []

    def read() -> None:
        spent.append((server.processor_seconds(), databases.processor_seconds()))

    address = ("127.0.0.1", port) if port else server.address
    tally = drive(address, scripts, seconds, warm_up=WARM_UP, when_warm=read)
    read()
    (server_before, database_before), (server_after, database_after) = spent
    return Run(tally, server_after - server_before, database_after - database_before)
