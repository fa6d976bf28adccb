"""Copies made with the databases' own tools: SQLite's online backup, and pg_dump's custom format."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from psycopg.conninfo import make_conninfo

from app.backup.databases import Postgresql, Sqlite
from app.backup.faults import BackupError
from app.command_language import N_, gettext

PIECE = 262_144
REMEDY = N_(
    "Install PostgreSQL's client programs (Debian: postgresql-client) of its version, and have them in PATH; or make a "
    "portable backup, which needs none: leave out --native."
)


def _with_remedy(text: str) -> str:
    remedy = gettext(REMEDY)
    return f"{text} {remedy}"


def program(name: str) -> tuple[str, int]:
    """Return the path and major version of ``pg_dump`` or ``pg_restore``.

    :raises BackupError: when it isn't in PATH
    """
    path = shutil.which(name)
    if path is None:
        raise BackupError(_with_remedy(gettext("{program} isn't in PATH.", program=name)))
    text = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    found = re.search(r"\) (\d+)", text)
    if found is None:
        raise BackupError(_with_remedy(gettext("{program} doesn't say its version.", program=path)))
    return path, int(found[1])


def _connection_of(database: Postgresql) -> tuple[str, dict[str, str]]:
    """Return libpq's connection string, and an environment with the password, where other users can't see it."""
    values = dict(database.parameters)
    password = values.pop("password", "")
    return make_conninfo(**values), dict(os.environ) | ({"PGPASSWORD": password} if password else {})


def dump(database: Postgresql, snapshot: str, server: str, write: Callable[[bytes], object]) -> None:
    """Dump our schema with pg_dump in its custom format, as seen by ``snapshot``.

    :param server: the server's version
    :raises BackupError: when pg_dump is missing, older than the server, or fails
    """
    path, version = program("pg_dump")
    if version < int(server.split(".")[0]):
        found = f"pg_dump {version} ({path})"
        text = gettext("{program} is older than the server, {server}.", program=found, server=server)
        raise BackupError(_with_remedy(text))
    where, environment = _connection_of(database)
    words = [path, "--format=custom", "--compress=0", f"--snapshot={snapshot}", f'--schema="{database.schema}"']
    words += ["--no-owner", "--no-privileges", "--no-password", f"--dbname={where}"]
    with _running(words, environment) as process:
        assert process.stdout is not None
        while piece := process.stdout.read(PIECE):
            write(piece)


def copied_rows(pieces: Iterable[bytes]) -> Iterator[tuple[str, str, Iterator[bytes]]]:
    """Read a dump with pg_restore, and yield each table's name, columns and rows in COPY format.

    :raises BackupError: when pg_restore is missing, too old for the dump, or fails
    """
    path, _ = program("pg_restore")
    with _running([path, "--data-only", "--file=-"], dict(os.environ), pieces) as process:
        assert process.stdout is not None
        lines = iter(process.stdout)
        for line in lines:
            if found := re.match(rb'COPY (?:\S+\.)?"?(\w+)"? \((.*)\) FROM stdin;', line):
                rows = _until_end(lines)
                yield found[1].decode(), found[2].decode(), rows
                for _ in rows:  # skip a table that the caller didn't read
                    pass


def _until_end(lines: Iterator[bytes]) -> Iterator[bytes]:
    for line in lines:
        if line == b"\\.\n":
            return
        yield line


@contextmanager
def _running(
    words: list[str], environment: dict[str, str], given: Iterable[bytes] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program while the block runs, with ``given`` as its standard input.

    :raises BackupError: when it fails; errors of ``given`` are reraised
    """
    process = subprocess.Popen(  # noqa: S603 - a list of words, no shell
        words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    errors: list[bytes] = []
    faults: list[BaseException] = []

    def feed() -> None:
        try:
            with process.stdin as goal:  # type: ignore[union-attr]
                for piece in given:
                    goal.write(piece)
        except BrokenPipeError:
            pass  # the program has exited; its status says why
        except BaseException as error:
            faults.append(error)
            process.kill()

    threads = [threading.Thread(target=feed), threading.Thread(target=lambda: errors.append(_read_all(process.stderr)))]
    for thread in threads:
        thread.start()
    try:
        yield process
        _, status = process.stdout.read() if process.stdout else b"", process.wait()
    finally:
        process.kill()
        process.wait()
        for thread in threads:
            thread.join()
        if faults:
            raise faults[0]
    if status:
        why = b"".join(errors).decode(errors="replace").strip().splitlines()
        raise BackupError(f"{Path(words[0]).name} failed: {why[-1] if why else f'status {status}'}")


def _read_all(stream: IO[bytes] | None) -> bytes:
    return stream.read() if stream else b""


@contextmanager
def copy_of(database: Sqlite) -> Iterator[Sqlite]:
    """Provide a copy of an SQLite database, made while others write to it.

    It is placed next to the original, and deleted when the block ends.
    """
    with temporary_copy_path(database) as path:
        source, goal = sqlite3.connect(database.path, timeout=30), sqlite3.connect(path)
        try:
            goal.execute("PRAGMA synchronous=OFF")
            source.backup(goal)
            goal.execute("PRAGMA journal_mode=DELETE")
        finally:
            goal.close()
            source.close()
        yield Sqlite(path)


@contextmanager
def temporary_copy_path(database: Sqlite) -> Iterator[Path]:
    """Provide the path of a new file next to a database, readable by its owner only and deleted when the block ends."""
    path = database.path.with_name(f".{database.path.name}.{secrets.token_hex(4)}.copy")
    try:
        path.touch(mode=0o600)
        yield path
    finally:
        for each in (path, *[path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal")]):
            each.unlink(missing_ok=True)
