"""The mailboxes of a peer's users: a mail server that reports the codes it receives."""

import os
import subprocess

from bench.client import Pause
from bench.servers import ROOT, free_port, python


class Mailbox:
    """Codes by email address. A client that needs one pauses until it arrives."""

    def __init__(self) -> None:
        self.port = free_port()
        command = python("-m", "bench.sink", str(self.port), "codes")
        self._sink = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
        assert self._sink.stdout is not None
        self._pipe = self._sink.stdout.fileno()
        os.set_blocking(self._pipe, False)
        self._codes: dict[str, str] = {}
        self._rest = b""

    def until_mail(self, address: str) -> Pause:
        """Return a pause until an email for ``address`` arrives."""
        return Pause(lambda: self._has(address))

    def pop_code(self, address: str) -> str:
        """Remove and return the latest code for ``address``, or "". Also called in advance to discard old codes."""
        self._receive()
        return self._codes.pop(address, "")

    def _has(self, address: str) -> bool:
        self._receive()
        return address in self._codes

    def _receive(self) -> None:
        try:
            while piece := os.read(self._pipe, 65536):
                *lines, self._rest = (self._rest + piece).split(b"\n")
                for line in lines:
                    address, code = line.decode().split(" ")
                    self._codes[address] = code
        except BlockingIOError:
            return

    def close(self) -> None:
        """Stop the mail server."""
        self._sink.terminate()
        self._sink.wait()
