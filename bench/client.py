"""A load generator on raw sockets: many clients, one thread, one epoll.

Each client is a generator. It yields the bytes of a request, receives the
:class:`Answer`, and yields :class:`Done` at the end of each operation.
With :class:`Pause` it waits for something other than the server; that time
isn't counted. Implements only the parts of HTTP/1.1 that a benchmark needs:
persistent connections, and responses with a ``Content-Length`` or in chunks.
"""

import select
import socket
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

MOST = 65536
"""Maximum number of bytes to read from a socket at a time."""


@dataclass(slots=True)
class Answer:
    """An HTTP response: status, raw head, and body."""

    status: int
    head: bytes
    body: bytes

    @property
    def closes(self) -> bool:
        """Whether the server closes the connection after this response."""
        return self.status == 0 or b"\r\nconnection: close" in self.head.lower()

    def cookies(self) -> dict[str, str]:
        """Return the cookies this response sets, by name, without deleted ones."""
        found: dict[str, str] = {}
        for line in self.head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"set-cookie":
                key, _, rest = value.strip().decode().partition("=")
                content = rest.split(";", 1)[0]
                if content:
                    found[key] = content
        return found

    def header(self, name: str) -> str:
        """Return the value of a header, or "" if it is missing."""
        wanted = name.lower().encode()
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.lower() == wanted:
                return value.strip().decode()
        return ""


CLOSED = Answer(0, b"", b"the server closed the connection")


@dataclass(slots=True)
class Done:
    """A finished operation, and what went wrong if it failed."""

    succeeded: bool = True
    error: str = ""


def failed(answer: Answer | None) -> Done:
    """Return a failed operation, with this response as the reason."""
    return Done(False, f"{answer and answer.status} {answer and answer.body[:200]!r}")


@dataclass(slots=True)
class Pause:
    """Time not spent waiting for the server: until ``ready`` returns True, or for at most ``most`` seconds."""

    ready: Callable[[], bool]
    most: float = 5.0


Script = Generator[bytes | Done | Pause, Answer | None, None]
"""A client's script: yields requests, :class:`Pause` and :class:`Done`, endlessly."""


@dataclass
class Tally:
    """Measurements of a run. Times are durations of whole operations in seconds."""

    seconds: float = 0.0
    times: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Successful operations per second."""
        return len(self.times) / self.seconds if self.seconds else 0.0

    def percentile(self, share: float) -> float:
        """Return the time within which this share (0 to 1) of operations finished."""
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


class Client:
    """A persistent connection and the script it runs."""

    def __init__(self, address: tuple[str, int], script: Script) -> None:
        self.address = address
        self.script = script
        self.buffer = b""
        self.began = 0.0
        self.pause: Pause | None = None
        self.paused = 0.0
        self.socket = self.connect()

    def connect(self) -> socket.socket:
        made = socket.create_connection(self.address, timeout=30)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def connect_again(self) -> None:
        """Replace the connection with a new one."""
        self.socket.close()
        self.buffer = b""
        self.socket = self.connect()

    def read(self) -> Answer | None:
        """Read available data; return the response once it is complete."""
        piece = self.socket.recv(MOST)
        if not piece:
            raise ConnectionError("the server closed the connection")
        self.buffer += piece
        head, blank, rest = self.buffer.partition(b"\r\n\r\n")
        if not blank:
            return None
        if b"\r\ntransfer-encoding: chunked" in head.lower():
            found = joined_chunks(rest)
        else:
            length = announced_length(head)
            found = (rest[:length], rest[length:]) if len(rest) >= length else None
        if found is None:
            return None
        body, self.buffer = found
        return Answer(int(head[9:12]), head, body)

    def advance(self, answer: Answer | None, tally: Tally, now: float) -> None:
        """Pass the response to the script and send its next request."""
        self.pause = None
        step = self.script.send(answer)
        while not isinstance(step, bytes):
            if isinstance(step, Pause):
                if not step.ready():
                    self.pause, self.paused = step, now
                    return
            else:
                if step.succeeded:
                    tally.times.append(now - self.began)
                else:
                    tally.errors.append(step.error)
                self.began = now
            step = next(self.script)
        self.socket.sendall(step)

    def resume(self, tally: Tally, now: float) -> None:
        """End the pause if it is over, and move the operation's start time forward by its duration."""
        if self.pause and (self.pause.ready() or now - self.paused > self.pause.most):
            self.began += now - self.paused
            self.advance(None, tally, now)


def announced_length(head: bytes) -> int:
    """Return the Content-Length in a response's head; 0 if there is none."""
    lower = head.lower()
    start = lower.find(b"\r\ncontent-length:")
    if start < 0:
        return 0
    end = lower.find(b"\r\n", start + 2)
    return int(lower[start + 17 : end if end > 0 else len(lower)])


def joined_chunks(data: bytes) -> tuple[bytes, bytes] | None:
    """Return a chunked body and the data after it; None if it isn't complete yet. Doesn't support trailers."""
    body = []
    while True:
        size, line_end, data = data.partition(b"\r\n")
        length = int(size.partition(b";")[0], 16) if line_end else 0
        if not line_end or len(data) < length + 2:
            return None
        if not length:
            return b"".join(body), data[2:]
        body.append(data[:length])
        data = data[length + 2 :]


def drive(
    address: tuple[str, int],
    scripts: list[Script],
    seconds: float,
    *,
    warm_up: float = 0.0,
    when_warm: Callable[[], None] = lambda: None,
) -> Tally:
    """Run every script on its own connection for this many seconds, after a warm-up that isn't counted."""
    poll = select.epoll()
    clients: dict[int, Client] = {}
    try:
        for script in scripts:
            client = Client(address, script)
            clients[client.socket.fileno()] = client
            poll.register(client.socket.fileno(), select.EPOLLIN)
        for client in clients.values():
            client.began = time.perf_counter()
            client.advance(None, Tally(), client.began)
        _run(poll, clients, Tally(), warm_up)
        when_warm()
        tally = Tally()
        _run(poll, clients, tally, seconds)
    finally:
        for client in clients.values():
            client.socket.close()
        poll.close()
    return tally


def _run(poll: select.epoll, clients: dict[int, Client], tally: Tally, seconds: float) -> None:
    began = time.perf_counter()
    until = began + seconds
    while (now := time.perf_counter()) < until:
        paused = [client for client in clients.values() if client.pause]
        for client in paused:
            client.resume(tally, time.perf_counter())
        for number, _ in poll.poll(min(0.002 if paused else 1.0, until - now)):
            client = clients[number]
            try:
                answer = client.read()
            except ConnectionError:
                answer = CLOSED
            if answer is not None:
                if answer.closes:
                    poll.unregister(number)
                    del clients[number]
                    client.connect_again()
                    clients[client.socket.fileno()] = client
                    poll.register(client.socket.fileno(), select.EPOLLIN)
                client.advance(answer, tally, time.perf_counter())
    tally.seconds = time.perf_counter() - began
