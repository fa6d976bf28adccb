"""Clients from npm, each a Node script that exchanges JSON lines with its test."""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path
from typing import Any

from tests.databases import ROOT
from tests.requirements import missing, program

FOLDER = Path(__file__).parent / "node"
WITHIN = 30.0


class Script:
    """A running script of ``tests/clients/node``.

    :param options: what the script reads as JSON from its argument
    """

    def __init__(self, name: str, options: dict[str, Any]) -> None:
        node = program("node")
        if not (ROOT / "node_modules" / "openid-client").exists():
            program("npm")
            missing("openid-client is not installed (make node_modules/axe-core/axe.min.js)")
        self._command = [node, str(FOLDER / name), json.dumps(options)]

    def __enter__(self) -> Script:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        self._timer = threading.Timer(WITHIN, self._process.kill)
        self._timer.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._timer.cancel()
        self._process.kill()
        self._process.communicate()

    def read(self) -> dict[str, Any]:
        """Return the script's next message. Raises AssertionError with its errors if it exits instead."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        line = self._process.stdout.readline()
        assert line, f"the script has ended:\n{self._process.stderr.read()}"
        said: dict[str, Any] = json.loads(line)
        return said

    def write(self, text: str) -> None:
        """Send it a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n")
        self._process.stdin.flush()
