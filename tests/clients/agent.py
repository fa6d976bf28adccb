"""Debian's oidc-agent, which holds OAuth tokens for programs on a machine, as ssh-agent holds keys."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

from tests.requirements import program

WITHIN = 30.0


class Agent:
    """A running agent with its own configuration.

    :param directory: for its socket and its files; a socket's path is short
    """

    def __init__(self, directory: Path) -> None:
        self._gen, self._token = program("oidc-gen"), program("oidc-gen").replace("oidc-gen", "oidc-token")
        self._log = directory / "agent.log"
        socket = directory / "agent.sock"
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "OIDC_CONFIG_DIR": str(directory),
            "OIDC_SOCK": str(socket),
            "PASSWORD": "of-a-test",
        }
        command = [self._gen.replace("oidc-gen", "oidc-agent"), "--console", "--no-scheme", f"--socket-path={socket}"]
        self._agent = self._run(command)
        deadline = time.monotonic() + WITHIN
        while not socket.exists():
            assert self._agent.poll() is None, self.output
            assert time.monotonic() < deadline, "oidc-agent does not start"
            time.sleep(0.02)
        self._started = [self._agent]

    @property
    def output(self) -> str:
        """The output of the agent and its programs."""
        return self._log.read_text(errors="replace")

    def add(self, name: str, *options: str) -> str:
        """Start adding an account; return the URL that the user has to visit."""
        quiet = ["--pw-env=PASSWORD", "--prompt=none", "--no-url-call", "--no-scheme", "--confirm-default"]
        self._started.append(self._run([self._gen, *quiet, *options, name]))
        deadline = time.monotonic() + WITHIN
        while not (found := re.findall(r"https?://\S+/(?:oauth/authorize\?|device)\S*", self.output)):
            assert self._started[-1].poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)
        return str(found[-1])

    def added(self) -> None:
        """Wait until the account is added. Raises AssertionError with the output if it isn't."""
        assert self._started[-1].wait(WITHIN) == 0, self.output

    def token(self, name: str, *options: str) -> str:
        """Return an access token of an account, refreshed if necessary."""
        command = [self._token, *options, name]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=WITHIN)
        assert done.returncode == 0, done.stderr + self.output
        return done.stdout.strip()

    def stop(self) -> None:
        """Stop all processes that still run."""
        for process in reversed(self._started):
            process.terminate()
            process.wait(WITHIN)

    def _run(self, command: list[str]) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/"
            )
