"""The archive of an export: a ZIP file with JSON and CSV files, written as a stream."""

from __future__ import annotations

import csv
import io
import textwrap
import zipfile
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from app.db.export import ExportPart
from app.extensions import settings
from app.i18n import datetime_text
from app.user_input import harmless_in_spreadsheets

CHUNK = 64 * 1024
"""Bytes passed on at a time. Only slightly more than that is held in memory."""

WIDTH = 78
"""Line width of README.txt in characters."""

_JSON = orjson.OPT_UTC_Z | orjson.OPT_SORT_KEYS

Rows = Iterable[Sequence[dict[str, Any]]]


class Archive:
    """A ZIP file that is written sequentially, and passed on in pieces of ``CHUNK`` bytes.

    :param on_chunk: called with each piece, in order
    :param at: timestamp of all its files
    """

    def __init__(self, on_chunk: Callable[[bytes], None], at: datetime) -> None:
        self._out = _ChunkWriter(on_chunk)
        self._zip = zipfile.ZipFile(self._out, "w", zipfile.ZIP_DEFLATED)
        self._at = at

    @property
    def size(self) -> int:
        """Number of bytes written so far."""
        return self._out.size

    def add_json(self, name: str, batches: Rows) -> None:
        """Add a file that contains a JSON array, with one row per line."""
        with self._zip.open(self._info(name), "w") as file:
            before = b"[\n"
            for rows in batches:
                for row in rows:
                    file.write(before + orjson.dumps(row, option=_JSON))
                    before = b",\n"
            file.write(b"\n]\n" if before == b",\n" else b"[]\n")

    def add_csv(self, name: str, columns: Sequence[str], batches: Rows) -> None:
        """Add a file for spreadsheets (RFC 4180): UTF-8 with a byte order mark, one line per row, and no formulas."""
        with self._zip.open(self._info(name), "w") as file:
            file.write(b"\xef\xbb\xbf" + _lines([columns]))
            for rows in batches:
                file.write(_lines([[cell(row[column]) for column in columns] for row in rows]))

    def add_text(self, name: str, text: str) -> None:
        """Add a file that contains ``text``."""
        with self._zip.open(self._info(name), "w") as file:
            file.write(text.encode())

    def abandon(self) -> None:
        """Pass on nothing more, not even when Python closes the unfinished ZIP file."""
        self._out.abandoned = True
        self._zip.close()

    def close(self) -> None:
        """Finish the ZIP file and pass on the remaining bytes."""
        self._zip.close()
        self._out.finish()

    def _info(self, name: str) -> zipfile.ZipInfo:
        at = self._at.astimezone(UTC)
        info = zipfile.ZipInfo(name, (at.year, at.month, at.day, at.hour, at.minute, at.second))
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o600 << 16
        return info


class _ChunkWriter(io.RawIOBase):
    """A write-only file that passes on its content in pieces of equal size."""

    def __init__(self, on_chunk: Callable[[bytes], None]) -> None:
        super().__init__()
        self._on_chunk = on_chunk
        self._buffer = bytearray()
        self.size = 0
        self.abandoned = False

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        """Write ``data`` and pass on each complete piece; after an error, discard it."""
        if self.abandoned:
            return len(data)
        self._buffer += data
        self.size += len(data)
        while len(self._buffer) >= CHUNK:
            self._pass_on(bytes(self._buffer[:CHUNK]))
            del self._buffer[:CHUNK]
        return len(data)

    def _pass_on(self, piece: bytes) -> None:
        try:
            self._on_chunk(piece)
        except BaseException:
            self.abandoned = True  # closing the ZIP file would write the rest
            raise

    def finish(self) -> None:
        """Pass on the remaining bytes."""
        if self._buffer:
            self._pass_on(bytes(self._buffer))
            self._buffer.clear()


def cell(value: Any) -> str:
    """Return ``value`` in a form safe for spreadsheets: with an apostrophe before anything that would be a formula."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else orjson.dumps(value, option=_JSON).decode().strip('"')
    return harmless_in_spreadsheets(text)


def _lines(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def readme(at: datetime, parts: Sequence[ExportPart], cut: Sequence[str]) -> str:
    """Return the text of README.txt.

    :param cut: names of parts that include only the newest rows
    """
    listed = [f"{part.name}.json, {part.name}.csv\n{_indented(part.says)}" for part in parts]
    more = [f"Only the newest rows are in: {', '.join(cut)}. There were too many for one archive."] if cut else []
    return "\n\n".join([*_about(at), *map(_filled, more), *listed, ""])


def _about(at: datetime) -> list[str]:
    return [
        f"What {settings.brand_name} keeps about your account\n{settings.public_url}\nMade {datetime_text(at)}",
        _filled(
            "Each kind of record is here twice: as JSON for programs, and as CSV for a spreadsheet (UTF-8, separated by"
            " commas). Times are in UTC. In the CSV files an apostrophe stands before a text that a spreadsheet would"
            " take for a formula; a telephone number begins with one, for example. The JSON files have it as it is."
        ),
        _filled(
            "Secrets are not in here: what signs you in, such as the key of an authenticator app or the token of a"
            " session, is kept sealed or only as a fingerprint, and nobody can take it out."
        ),
    ]


def _filled(text: str) -> str:
    return textwrap.fill(text, WIDTH)


def _indented(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="    ", subsequent_indent="    ")
