"""A run: clients send requests to a server for some seconds, while CPU time is measured."""

from dataclasses import dataclass

from bench.client import Script, Tally, drive
from bench.databases import Databases
from bench.servers import Server

WARM_UP = 0.5
"""Uncounted seconds at the start of each run."""


@dataclass(frozen=True, slots=True)
class Run:
    """The clients' measurements, and the CPU seconds used by the server and the database."""

    tally: Tally
    server: float
    database: float


def run_clients(
    server: Server, scripts: list[Script], seconds: float, databases: Databases, *, port: int | None = None
) -> Run:
    """Run each script on its own connection, to the server or to the proxy in front of it on ``port``.

    One PostgreSQL server hosts all subjects: its CPU time is this run's as long as nothing else is running.
    """
    spent: list[tuple[float, float]] = []

    def read() -> None:
        spent.append((server.processor_seconds(), databases.processor_seconds()))

    address = ("127.0.0.1", port) if port else server.address
    tally = drive(address, scripts, seconds, warm_up=WARM_UP, when_warm=read)
    read()
    (server_before, database_before), (server_after, database_after) = spent
    return Run(tally, server_after - server_before, database_after - database_before)
