"""The console at a separate address: available to administrators there, and a 404 at the public one."""

from __future__ import annotations

import http.client

import pytest

from tests.serving import free_port
from tests.sinks import until

pytestmark = pytest.mark.one_database


def status(port: int, path: str, host: str) -> int:
    """Return the status of a path at a port."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", path, headers={"Host": host, "Accept": "application/json"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def test_admin_console_is_served_only_on_its_own_listener(fresh_database, make_server):
    port = free_port()
    server = make_server(fresh_database, workers=1, LATCHKEY_ADMIN_LISTEN=f"127.0.0.1:{port}",
                         LATCHKEY_ALLOWED_HOSTS=f"localhost:{port}")  # fmt: skip
    public = f"localhost:{server.port}"
    until(lambda: status(port, "/healthz", f"localhost:{port}") == 200, 10)
    assert status(server.port, "/admin", public) == 404
    assert status(server.port, "/us-signin", public) == 200
    assert status(port, "/admin", f"localhost:{port}") == 401, "nobody is signed in"
    assert status(port, "/us-signin", f"localhost:{port}") == 200
    assert status(port, "/us-signin", "elsewhere.example") == 400
    assert server.stop() == 0
    with pytest.raises(OSError):
        status(port, "/healthz", f"localhost:{port}")


def test_start_is_refused_if_admin_listen_uses_the_public_port(fresh_database, make_server):
    server = make_server(fresh_database, workers=1, start=False, port=free_port())
    server.environment["LATCHKEY_ADMIN_LISTEN"] = f"127.0.0.1:{server.port}"
    with pytest.raises(AssertionError):
        server.start()
    assert "the console and people would share port" in server.output
