"""Start and stop servers, and measure their resource usage."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from bench.messages import HOST

ROOT = Path(__file__).parent.parent
START_WITHIN, STOP_WITHIN = 60.0, 40.0

SERVED_BY = os.environ.get("LATCHKEY_BENCH_PYTHON") or sys.executable
"""The interpreter of our server and of the small apps. ``make bench`` gives it what production has and nothing more:
structlog, for one, imports rich where it is installed, and each process has that in memory."""


class Server:
    """A server with all its processes."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path, port: int) -> None:
        self.command = command
        self.environment = environment
        self.log = log
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.port)

    def start(self, path: str) -> float:
        """Start it; return the seconds until ``path`` responds with 200. Raise RuntimeError if it never does."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        began = time.perf_counter()
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=kept | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        while not self._answers(path):
            if self.process.poll() is not None or time.perf_counter() - began > START_WITHIN:
                raise RuntimeError(f"{self.command} does not serve:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.005)
        return time.perf_counter() - began

    def _answers(self, path: str) -> bool:
        try:
            with socket.create_connection(self.address, timeout=5) as asked:
                asked.sendall(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
                return asked.recv(12) == b"HTTP/1.1 200"
        except OSError:
            return False

    def stop(self) -> None:
        """Stop it, if it is running."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def memory(self) -> list[float]:
        """Return the proportional set size of each of its processes in MB, starting with the main process."""
        return [_proportional_set_size(process.pid) for process in self._processes()]

    def processor_seconds(self) -> float:
        """Return the CPU time that its processes have used."""
        return processor_seconds(self.process.pid) if self.process else 0.0

    def _processes(self) -> list[psutil.Process]:
        return tree(self.process.pid) if self.process else []


def tree(pid: int) -> list[psutil.Process]:
    """Return a process and its descendants."""
    first = psutil.Process(pid)
    return [first, *first.children(recursive=True)]


def processor_seconds(pid: int) -> float:
    """Return the CPU time used by a process and its descendants, including those that have exited."""
    total = 0.0
    for process in tree(pid):
        with suppress(psutil.NoSuchProcess):
            spent = process.cpu_times()
            total += spent.user + spent.system + spent.children_user + spent.children_system
    return total


def _proportional_set_size(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def granian(app: str, environment: dict[str, str], directory: Path, processes: int, python: str = SERVED_BY) -> Server:
    """Return a server for a WSGI app, not started yet, with this number of processes, run by this or another Python."""
    port = free_port()
    command = [python, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", str(processes), "--blocking-threads", "4", "--no-ws", "--http", "1"]
    # A worker that gets the stop signal while it is starting never stops.
    command += ["--workers-kill-timeout", "1", app]
    return Server(command, environment, directory / f"{app.partition(':')[0]}.log", port)


def free_port() -> int:
    """Return a port that is currently free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def served_python(*arguments: str) -> list[str]:
    """Return the command that runs the interpreter of a server with these arguments."""
    return [SERVED_BY, *arguments]


def python(*arguments: str) -> list[str]:
    """Return the command that runs this Python with these arguments."""
    return [sys.executable, *arguments]
