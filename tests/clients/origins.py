"""Apps at their own origins, served by a thread of the test process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.serving import free_port


@dataclass
class Origin:
    """The origin of an app.

    :ivar requests: path and query of each request so far
    """

    url: str
    requests: list[str] = field(default_factory=list)


@contextmanager
def serve(app: Any, *, port: int = 0, name: str = "127.0.0.1") -> Iterator[Origin]:
    """Serve a WSGI application until the block is left."""

    class Quiet(WSGIRequestHandler):
        def log_request(self, *_rest: Any) -> None:
            origin.requests.append(self.path)

        def log(self, *_rest: Any) -> None:
            pass

    server = make_server("127.0.0.1", port or free_port(), app, threaded=True, request_handler=Quiet)
    origin = Origin(f"http://{name}:{server.port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield origin
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def landing_app() -> Flask:
    """Return an app with one page, for the redirect URI."""
    app = Flask("landing")
    app.add_url_rule("/callback", view_func=lambda: "<!doctype html><title>App</title><h1>Back in the app</h1>")
    return app
