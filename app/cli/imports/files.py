"""Input files, compressed or not, in UTF-8 or UTF-16, with or without a byte order mark. They are read as UTF-8."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import click

from app.command_language import N_, gettext

CHUNK = 65536

READ_ERRORS = (EOFError, gzip.BadGzipFile, zlib.error)
"""Errors raised when reading a compressed file that is damaged or truncated."""

MAX_ACCOUNT_BYTES = 64 * 1024 * 1024
"""Maximum bytes of a JSON array's element, and before the first one, where a Keycloak realm has its settings."""

DIGITS = 4000
DEEPEST = 2000
"""Maximum number of open brackets in an element, including those within strings."""

_HUGE = re.compile(rb"[0-9]{%d}" % DIGITS)
_BRACKET = re.compile(rb"[][{}]")

MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks. PowerShell's ``>`` writes the third one."""

OTHERS = (
    (b"PGDMP", N_("{path} is pg_dump's custom format: pg_restore --data-only --file=users.sql FILE")),
    (b"PK\x03\x04", N_("{path} is a ZIP archive: unpack it first.")),
    (b"SQLite format 3", N_("{path} is a SQLite database: docs/import.md says how to export from it.")),
    (b"-----BEGIN PGP", N_("{path} is encrypted with PGP: gpg --decrypt FILE > users.json")),
    (b"\x85", N_("{path} is encrypted with PGP: gpg --decrypt FILE > users.json")),
    (b"\x84", N_("{path} is encrypted with PGP: gpg --decrypt FILE > users.json")),
    (b"BZh", N_("{path} is compressed with bzip2: unpack it first.")),
    (b"\xfd7zXZ", N_("{path} is compressed with xz: unpack it first.")),
    (b"\x28\xb5\x2f\xfd", N_("{path} is compressed with zstd: unpack it first.")),
)
"""Signatures of files that aren't text, with what to do about each."""


class _Counted(io.RawIOBase):
    """A stream that reports how many bytes were read, and fills each request as far as its data allows."""

    def __init__(self, stream: BinaryIO, on_read: Callable[[int], None]) -> None:
        super().__init__()
        self._stream, self._on_read = stream, on_read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._on_read(len(data))
        return len(data)


class _Recoded(io.RawIOBase):
    """A stream converted to UTF-8 from another encoding. Invalid bytes become U+FFFD."""

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        super().__init__()
        self._stream, self._rest = stream, b""
        self._decoder = codecs.getincrementaldecoder(encoding)(errors="replace")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            data = self._stream.read(CHUNK)
            self._rest = self._decoder.decode(data, final=not data).encode("utf-8", "replace")
            if not data:
                break
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


class Unreadable(Exception):
    """Input that no real export contains and that would crash the process. The message describes it."""


class Guarded(io.RawIOBase):
    """A stream of JSON for a parser without limits.

    The parser crashes on numbers with thousands of digits, and keeps strings of any size and the path to every nesting
    level in memory.
    """

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream, self._end = stream, b""
        self._since, self._depth, self._fault = 0, 0, ""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read more data. Data before a violation of the limits is returned first.

        :raises Unreadable: at the violation
        """
        data = b"" if self._fault else self._within_limits(self._stream.read(len(buffer)))
        if self._fault and not data:
            raise Unreadable(self._fault)
        buffer[: len(data)] = data
        return len(data)

    def begin(self) -> None:
        """Mark the end of an element, so that limits apply to the next one separately."""
        self._since = self._depth = 0

    def _within_limits(self, data: bytes) -> bytes:
        """Return the part of ``data`` that is within the limits, and record what is wrong with the rest."""
        self._since += len(data)
        if self._since > MAX_ACCOUNT_BYTES:
            self._fault = f"has more than {MAX_ACCOUNT_BYTES // 1024**2} MiB in one account"
            return b""
        if found := _HUGE.search(self._end + data):
            self._fault = f"has a number of more than {DIGITS} digits"
            data = data[: max(0, found.start() - len(self._end))]
        self._end = (self._end + data)[-DIGITS:]
        return data[: self._depth_allows(data)]

    def _depth_allows(self, data: bytes) -> int:
        """Return how many bytes of ``data`` stay within ``DEEPEST``."""
        opening = data.count(b"[") + data.count(b"{")
        if self._depth + opening <= DEEPEST:
            self._depth = max(0, self._depth + opening - data.count(b"]") - data.count(b"}"))
            return len(data)
        for bracket in _BRACKET.finditer(data):
            self._depth = max(0, self._depth + (1 if bracket[0] in b"[{" else -1))
            if self._depth > DEEPEST:
                self._fault = "is nested too deeply"
                return bracket.start()
        return len(data)


def in_order(paths: Iterable[Path], list_: str = "*.json") -> list[Path]:
    """Return the files, expanding directories in the order of the numbers in their file names.

    :raises click.ClickException: when a directory contains no such files, or those of several Keycloak realms
    """
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.glob(list_), key=_numbers) if path.is_dir() else [path]
        realms = {name[1] for each in inside if (name := re.fullmatch(r"(.+)-users-\d+\.json", each.name))}
        if not inside:
            raise click.ClickException(gettext("{path} has no {files} in it.", path=path, files=list_))
        if path.is_dir() and len(realms) > 1:
            first = sorted(realms)[0]
            text = gettext(
                "{path} has the users of several realms: {realms}. Name the files of one: {files}",
                path=path,
                realms=", ".join(sorted(realms)),
                files="/".join((str(path), first + "-users-*.json")),
            )
            raise click.ClickException(text)
        found += inside
    return found


def _numbers(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", path.name)]


def size_of(paths: Iterable[Path]) -> int | None:
    """Return the total size of all files in bytes; None if any of them isn't a regular file, such as standard input."""
    files = list(paths)
    return sum(path.stat().st_size for path in files) if all(path.is_file() for path in files) else None


@contextmanager
def opened(path: Path, on_read: Callable[[int], None]) -> Iterator[io.BufferedReader]:
    """Open a file, or standard input for "-".

    :param on_read: called with the number of bytes read from the file
    :raises click.ClickException: when it is empty or in an unsupported format
    """
    with ExitStack() as stack:
        try:
            raw = stack.enter_context(click.open_file(str(path), "rb"))
        except OSError as error:
            raise click.ClickException(f"{path}: {error.strerror or type(error).__name__}.") from None
        yield _as_utf8(_reader(_Counted(cast(BinaryIO, raw), on_read)), path)


def _as_utf8(stream: io.BufferedReader, path: Path) -> io.BufferedReader:
    try:
        if stream.peek(2)[:2] == b"\x1f\x8b":
            stream = _reader(_Counted(cast(BinaryIO, gzip.GzipFile(fileobj=stream)), lambda _count: None))
        begin = stream.peek(CHUNK)[:CHUNK]
    except READ_ERRORS:
        raise click.ClickException(gettext("{path} is compressed with gzip, and damaged.", path=path)) from None
    if not begin.strip():
        raise click.ClickException(gettext("{path} is empty.", path=path))
    for mark, what in OTHERS:
        if begin.startswith(mark):
            raise click.ClickException(gettext(what, path=path))
    encoding = next((name for mark, name in MARKS if begin.startswith(mark)), _without_mark(begin))
    if encoding:
        return _reader(_Recoded(stream, encoding))
    if b"\0" in begin:
        raise click.ClickException(gettext("{path} isn't a text file.", path=path))
    if begin.startswith(codecs.BOM_UTF8):
        stream.read(len(codecs.BOM_UTF8))
    return stream


def _without_mark(begin: bytes) -> str:
    """Return the encoding of UTF-16 text without a byte order mark that starts with an ASCII character; else ""."""
    if begin[1:2] == b"\0" and begin[:1] not in (b"", b"\0"):
        return "utf-16-le"
    return "utf-16-be" if begin[:1] == b"\0" and begin[1:2] not in (b"", b"\0") else ""


def decodable(stream: io.BufferedReader) -> io.BufferedReader:
    """Return the stream with U+FFFD in place of invalid UTF-8, which a parser would stop at."""
    return _reader(_Recoded(cast(BinaryIO, stream), "utf-8"))


def _reader(raw: io.RawIOBase) -> io.BufferedReader:
    return io.BufferedReader(raw, CHUNK)
