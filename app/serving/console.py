"""The console on an address of its own: a process that serves everything, including the console.

The other web processes don't serve the console in that case. This one also serves the sign-in pages, which
administrators need.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import structlog
from granian.server.embed import Server

from app.admin import access
from app.serving.supervisor import adapter, server_options
from app.serving.thread_pool import ThreadPool
from config import types

if TYPE_CHECKING:
    from flask import Flask

log = structlog.get_logger()

CONNECTIONS = 200
THREADS = 4
CHECK_INTERVAL = 0.2
"""Seconds between checks of the stop event."""


def serve(app: Flask, stop: threading.Event) -> None:
    """Serve the console until ``stop`` is set."""
    access.open_here(app)
    asyncio.run(_serve(_server(app), stop))


def _server(app: Flask) -> Any:
    listen: str = app.extensions["latchkey.settings"].admin_listen
    address = types.listener(listen)
    assert address is not None
    log.info("console.started", listen=listen)
    return Server(adapter(app, ThreadPool(1, THREADS)), **server_options(address), backpressure=CONNECTIONS)


async def _serve(server: Any, stop: threading.Event) -> None:
    serving = asyncio.ensure_future(server.serve())
    while not stop.is_set() and not serving.done():
        await asyncio.sleep(CHECK_INTERVAL)
    server.stop()
    await serving
