"""The Unix socket that ``flask serve --unix`` listens at: who may connect, and what may lie at its path before."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from app.monitoring.listener import forget_socket
from app.serving.startup import UNAVAILABLE, refuse
from config.problems import NOT_CONFIGURED

if TYPE_CHECKING:
    from config.settings import Settings

MODE = 0o660
"""The owner and the group may connect: put the proxy into the service's group."""


def claim(settings: Settings, path: str) -> None:
    """Refuse a path that can't be listened at, or whose callers would be unknown; remove the socket of a dead server.

    Leaves the path free.
    """
    if settings.is_production and not settings.trusted_proxies:
        what = "at a Unix socket only a proxy knows who calls, and none is trusted."
        refuse(NOT_CONFIGURED, what, "Set LATCHKEY_TRUSTED_PROXIES=1 (docs/proxies.md).")
    try:
        if Path(path).exists() and not stat.S_ISSOCK(os.stat(path).st_mode):
            refuse(NOT_CONFIGURED, f"{path} is not a socket.", "Choose another --unix; a file is never replaced.")
        forget_socket(path)
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(path)
        os.unlink(path)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            refuse(UNAVAILABLE, f"{Path(path).parent} does not exist.", "Make it, owned by the user who serves.")
        if Path(path).exists() and not isinstance(error, PermissionError):
            refuse(UNAVAILABLE, f"another server listens at {path}.", "Stop it, or choose another --unix.")
        remedy = "Let the user who serves write to its directory, or choose another --unix."
        refuse(UNAVAILABLE, f"it can't listen at {path} ({error.strerror}).", remedy)
