"""Wake-ups on one machine: a folder with a datagram socket for each worker."""

from __future__ import annotations

import os
import secrets
import socket
import time
from contextlib import suppress
from pathlib import Path

from sqlalchemy.engine import make_url

LONGEST_PATH = 100
"""Octets of a socket's path; most systems take 108 and some less."""

LIST_EVERY = 1.0
"""Seconds for which the sockets of a folder are remembered."""


class Folder:
    """A folder with one datagram socket for each worker on this machine."""

    def __init__(self, url: str) -> None:
        self.path = Path(str(make_url(url).database)).with_suffix(".wake")
        self._socket: socket.socket | None = None
        self._opened: int | None = None
        self._known: list[str] = []
        self._listed_at = float("-inf")

    def wake(self) -> None:
        """Wake them all."""
        with suppress(OSError):  # no folder, so no worker yet
            self.send()

    def send(self) -> list[bool]:
        """Wake them all and return for each whether it still listens. Raises OSError."""
        now = time.monotonic()
        if now - self._listed_at > LIST_EVERY:
            self._known = [name for name in os.listdir(self.path) if name.endswith(".sock")]
            self._listed_at = now
        return [self._send_to(name) for name in self._known]

    def _send_to(self, name: str) -> bool:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        try:
            self._socket.sendto(b"\0", self.address(name))
        except BlockingIOError:  # it has not even read the last ones
            return True
        except (ConnectionRefusedError, FileNotFoundError):  # its worker was killed
            self._listed_at = float("-inf")
            with suppress(OSError):
                (self.path / name).unlink()
            return False
        return True

    def address(self, name: str) -> str:
        """Return the path of a socket, over a descriptor of its folder where it would be too long."""
        path = str(self.path / name)
        if len(os.fsencode(path)) <= LONGEST_PATH:
            return path
        return f"/proc/self/fd/{self._descriptor()}/{name}"

    def _descriptor(self) -> int:
        if self._opened is None:
            self._opened = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        return self._opened


class SocketListener:
    """The worker's end: a socket of its own in the folder."""

    def __init__(self, url: str) -> None:
        folder = Folder(url)
        folder.path.mkdir(parents=True, exist_ok=True)
        name = f"{secrets.token_hex(4)}.sock"
        self._path = folder.path / name
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(folder.address(name))

    def wait(self, seconds: float) -> bool:
        self._socket.settimeout(seconds)
        try:
            self._socket.recv(1)
            self._socket.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    self._socket.recv(1)
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        self._socket.close()
        with suppress(OSError):
            self._path.unlink()
