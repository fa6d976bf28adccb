"""A load client on raw sockets: many clients, one thread, one epoll.

Each client is a generator. It yields the bytes of a request, gets the
:class:`Answer` back, and says with :class:`Done` that one operation ended.
With :class:`Pause` it waits for something else than the server; that time
does not count. Speaks only as much HTTP/1.1 as a benchmark needs: kept
connections, and answers with a ``Content-Length`` or in chunks.
"""

import select
import socket
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

MOST = 65536
"""Bytes read from a socket at once."""


@dataclass(slots=True)
class Answer:
    """One HTTP answer: status, head as it came, and body."""

    status: int
    head: bytes
    body: bytes

    @property
    def closes(self) -> bool:
        """Whether the server ends the connection after it."""
        return self.status == 0 or b"\r\nconnection: close" in self.head.lower()

    def cookies(self) -> dict[str, str]:
        """Return the cookies this answer sets, by name; deleted ones are left out."""
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
        """Return the value of a header, or "" when it is not there."""
        wanted = name.lower().encode()
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.lower() == wanted:
                return value.strip().decode()
        return ""


CLOSED = Answer(0, b"", b"the server closed the connection")


@dataclass(slots=True)
class Done:
    """One finished operation; ``right`` says whether it ended as it should."""

    right: bool = True
    why: str = ""


def failed(answer: Answer | None) -> Done:
    """Return an operation that this answer did not end as it should."""
    return Done(False, f"{answer and answer.status} {answer and answer.body[:200]!r}")


@dataclass(slots=True)
class Pause:
    """Time that is not the server's: until ``ready`` says yes, or for ``most`` seconds."""

    ready: Callable[[], bool]
    most: float = 5.0


Script = Generator[bytes | Done | Pause, Answer | None, None]
"""What a client does: yields requests, :class:`Pause` and :class:`Done`, for ever."""


@dataclass
class Tally:
    """What a run measured. Times are seconds of whole operations."""

    seconds: float = 0.0
    times: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Operations per second that ended as they should."""
        return len(self.times) / self.seconds if self.seconds else 0.0

    def percentile(self, share: float) -> float:
        """Return the time below which this share (0 to 1) of operations ended."""
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


class Client:
    """One kept connection and the script it plays."""

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
        """Replace the connection by a new one."""
        self.socket.close()
        self.buffer = b""
        self.socket = self.connect()

    def read(self) -> Answer | None:
        """Read what has come; return an answer once it is whole."""
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
        """Give the script its answer and send the request it makes of it."""
        self.pause = None
        step = self.script.send(answer)
        while not isinstance(step, bytes):
            if isinstance(step, Pause):
                if not step.ready():
                    self.pause, self.paused = step, now
                    return
            else:
                if step.right:
                    tally.times.append(now - self.began)
                else:
                    tally.wrong.append(step.why)
                self.began = now
            step = next(self.script)
        self.socket.sendall(step)

    def go_on(self, tally: Tally, now: float) -> None:
        """End the pause if it is time; the operation began that much later then."""
        if self.pause and (self.pause.ready() or now - self.paused > self.pause.most):
            self.began += now - self.paused
            self.advance(None, tally, now)


def announced_length(head: bytes) -> int:
    """Return the Content-Length of an answer's head; 0 when there is none."""
    lower = head.lower()
    start = lower.find(b"\r\ncontent-length:")
    if start < 0:
        return 0
    end = lower.find(b"\r\n", start + 2)
    return int(lower[start + 17 : end if end > 0 else len(lower)])


def joined_chunks(data: bytes) -> tuple[bytes, bytes] | None:
    """Return a body that came in chunks, and what follows it; None when it is not whole yet. Without trailers."""
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
    """Let every script play on a connection of its own for this many seconds, after a warm-up that is not counted."""
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
        _play(poll, clients, Tally(), warm_up)
        when_warm()
        tally = Tally()
        _play(poll, clients, tally, seconds)
    finally:
        for client in clients.values():
            client.socket.close()
        poll.close()
    return tally


def _play(poll: select.epoll, clients: dict[int, Client], tally: Tally, seconds: float) -> None:
    began = time.perf_counter()
    until = began + seconds
    while (now := time.perf_counter()) < until:
        paused = [client for client in clients.values() if client.pause]
        for client in paused:
            client.go_on(tally, time.perf_counter())
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
