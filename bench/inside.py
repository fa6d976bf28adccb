"""Run a client's script against the application in this process, and count the SQL statements of each request.

``python -m bench.inside W1`` prints the cost of each request of a work. Run it under a sampling profiler to see
where the time goes, since nothing but the application runs in the process.
"""

import argparse
import io
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask import Flask

from bench.client import Answer, Done, Script
from bench.databases import KINDS, databases
from bench.subject import WORKS

HANDLE = re.compile(r"[0-9a-f]{32}\.[0-9a-f]{64}")


def statements_per_request(
    app: Flask, engine: sa.Engine, script: Script, operations: int
) -> dict[str, tuple[int, float]]:
    """Run ``script`` for this many operations; return the maximum statements and median CPU ms by method and path.

    Counts the statements that SQLAlchemy sends, without BEGIN and COMMIT.
    :raises RuntimeError: if an operation fails
    """
    counted = 0
    found: dict[str, list[tuple[int, float]]] = defaultdict(list)

    def count(*_: Any) -> None:
        nonlocal counted
        counted += 1

    sa.event.listen(engine, "before_cursor_execute", count)
    try:
        step = next(script)
        while operations:
            if isinstance(step, Done):
                if not step.succeeded:
                    raise RuntimeError(step.error)
                operations -= 1
                step = next(script)
                continue
            counted, began = 0, time.thread_time()
            answer = call(app, step)
            found[name_of(step)].append((counted, time.thread_time() - began))
            step = script.send(answer)
    finally:
        sa.event.remove(engine, "before_cursor_execute", count)
    return {name: (max(many for many, _ in each), median_ms(each)) for name, each in found.items()}


def median_ms(each: Iterable[tuple[int, float]]) -> float:
    """Return the median CPU time in ms."""
    times = sorted(spent for _, spent in each)
    return times[len(times) // 2] * 1000


def name_of(raw: bytes) -> str:
    """Return the method and path of a request, without its query, and with handles in the path replaced."""
    method, target, _ = raw.split(b" ", 2)
    path = target.partition(b"?")[0].decode()
    return f"{method.decode()} {HANDLE.sub('<state>', path)}"


def call(app: Flask, raw: bytes) -> Answer:
    """Pass a request, as raw HTTP bytes, to the application."""
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    method, target, _ = first.split(" ")
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000", "SERVER_PROTOCOL": "HTTP/1.1", "SCRIPT_NAME": "", "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": io.BytesIO(body), "wsgi.errors": io.StringIO(), "wsgi.url_scheme": "http",
        "wsgi.version": (1, 0), "wsgi.multithread": True, "wsgi.multiprocess": True, "wsgi.run_once": False,
    }  # fmt: skip
    for line in lines:
        name, _, value = line.partition(": ")
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    answered: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], failed: Any = None) -> Any:
        answered[:] = [status, headers]

    answer = app(environ, start_response)
    text = b"".join(answer)
    if hasattr(answer, "close"):
        answer.close()
    status, headers = answered
    told = "\r\n".join(["HTTP/1.1 " + status, *(f"{name}: {value}" for name, value in headers)])
    return Answer(int(status[:3]), told.encode(), text)


def main() -> None:
    """Run one work and print the SQL statements and median CPU time of each request."""
    from bench.latchkey import Latchkey

    parser = argparse.ArgumentParser(prog="python -m bench.inside", description=main.__doc__)
    parser.add_argument("work", choices=WORKS)
    parser.add_argument("--database", choices=KINDS, default="postgresql")
    parser.add_argument("--people", type=int, default=2000)
    parser.add_argument("--operations", type=int, default=1000)
    parser.add_argument("--limits", action="store_true", help="with limits on")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="latchkey-bench-") as made, databases(options.database, Path(made)) as kept:
        ours = Latchkey(kept.make("latchkey"), options.people, Path(made), 1, 1, limits=options.limits)
        ours.populate()
        if options.work == "W2":
            ours.statements("W1")  # so that there are sessions to check
        for request, (statements, spent) in ours.statements(options.work, options.operations).items():
            print(f"{request}: {statements} statements, {spent:.2f} ms cpu")


if __name__ == "__main__":
    main()
