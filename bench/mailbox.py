"""The mailboxes of a peer's people: a mail server of its own that tells the codes it gets."""

import os
import subprocess

from bench.client import Pause
from bench.servers import ROOT, free_port, python


class Mailbox:
    """Codes by address, as mails bring them. A client that needs one pauses until it is there."""

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
        """Return the pause in which a mail for ``address`` comes."""
        return Pause(lambda: self._has(address))

    def take(self, address: str) -> str:
        """Take the code that came for ``address`` last, or "" when none did; done before one is asked for, too."""
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
