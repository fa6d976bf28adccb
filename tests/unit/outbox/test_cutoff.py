"""The hard deadline of an SMTP conversation, at every point."""

from __future__ import annotations

import socket
import time
from types import SimpleNamespace

import pytest

from app.outbox.channels import attempt


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.mark.parametrize("client", [None, SimpleNamespace(), SimpleNamespace(sock=None)], ids=["none", "new", "closed"])
def test_cutting_off_an_unconnected_client_keeps_the_watchdog_alive(pair, client):
    """Clients of smtplib and http.client have no socket before they connect and after they close."""
    ours, _ = pair
    with attempt.cut_off_after(0.1) as early:
        early._client = client
        until = time.monotonic() + 0.5
        while not early.has_ended and time.monotonic() < until:
            time.sleep(0.01)
        assert early.has_ended
        time.sleep(2 * attempt.CHECK_INTERVAL)
        assert attempt._watchdog is not None
        assert attempt._watchdog.is_alive()
    with attempt.cut_off_after(0.1) as conversation:
        conversation.attach(SimpleNamespace(sock=ours))
        assert ours.recv(1) == b"", "it is shut"


def test_client_that_dropped_its_socket_reference_is_cut_off(pair):
    """http.client does, where the server closes the connection behind its answer."""
    ours, _ = pair
    client = SimpleNamespace(sock=ours)
    with attempt.cut_off_after(0.1) as conversation:
        conversation.attach(client)
        client.sock = None
        assert ours.recv(1) == b"", "it is shut"


def test_stopping_worker_cuts_off_every_connection(pair):
    ours, _ = pair
    try:
        with attempt.cut_off_after(30) as one, attempt.cut_off_after(30) as other:
            one.attach(SimpleNamespace(sock=None))
            other.attach(SimpleNamespace(sock=ours))
            attempt.cut_off_all()
            assert one.has_ended
            assert ours.recv(1) == b"", "it is shut"
    finally:
        attempt.resume()
