"""Connections on which nothing is sent."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from app.serving import stuck

pytestmark = pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="the kernel does not tell")


@pytest.fixture
def connection() -> Iterator[tuple[int, socket.socket, socket.socket]]:
    """Port, server's end and client's end of an open connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.settimeout(5)
            served, _ = listener.accept()
            with served:
                yield port, served, client


def test_a_connection_that_was_sent_nothing_is_ended(connection):
    port, _, client = connection
    client.sendall(b"POST / HTTP/1.1\r\n")
    time.sleep(0.3)
    assert stuck.end_silent(port, 0.2) == 1
    assert client.recv(1) == b""


def test_a_connection_that_was_answered_just_now_stays(connection):
    port, served, client = connection
    time.sleep(0.3)
    served.sendall(b"HTTP/1.1 200 OK\r\n")
    assert stuck.end_silent(port, 0.2) == 0
    assert client.recv(4) == b"HTTP"


def test_connections_of_another_port_are_left_alone(connection):
    port, served, client = connection
    time.sleep(0.3)
    assert stuck.end_silent(port + 1, 0.2) == 0
    served.sendall(b"x")
    assert client.recv(1) == b"x"


def test_each_connection_is_looked_at_once(connection):
    port, served, _ = connection
    found = list(stuck.served_connections(port))
    addresses = [copy.getsockname() for copy in found]
    for copy in found:
        copy.close()
    assert addresses == [served.getsockname()] * 2  # it and the socket that listens
