"""Stored messages: one file each, shared by all processes of this machine."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import make_url

from app import clock
from app.crypto import secrets

if TYPE_CHECKING:
    from config.settings import Settings

KEPT = 200
"""Messages, at most; the oldest go first."""


@dataclass(frozen=True)
class StoredMessage:
    """One message as it arrived. ``at`` is in seconds since 1970; ``html`` is empty where there is none."""

    id: str
    channel: str
    to: str
    subject: str
    text: str
    html: str
    at: float

    def shown(self) -> dict[str, Any]:
        """Return what pages and programs are told of this message; ``html`` only says whether there is any."""
        return asdict(self) | {"html": bool(self.html), "at": datetime.fromtimestamp(self.at, UTC)}


class Store:
    """A folder of messages, newest first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, channel: str, to: str, text: str, *, subject: str = "", html: str = "") -> StoredMessage:
        """Keep a message and let go of the oldest beyond KEPT. Raises OSError when the disk does not take it."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        kept = StoredMessage(
            f"{time.time_ns():019d}-{secrets.row_id()[:8]}", channel, to, subject, text, html, clock.unix()
        )
        draft = self.folder / f"{kept.id}.draft"
        draft.write_text(json.dumps(asdict(kept)), encoding="utf-8")
        os.replace(draft, self._path(kept.id))
        for old in self._ids()[KEPT:]:
            with suppress(FileNotFoundError):  # another process was quicker
                self._path(old).unlink()
        return kept

    def get(self, message_id: str) -> StoredMessage | None:
        """Return one message, or None when there is none (any more)."""
        if message_id not in self._ids():  # not a path: the id comes from a URL
            return None
        try:
            return _read(self._path(message_id))
        except FileNotFoundError:
            return None

    def __iter__(self) -> Iterator[StoredMessage]:
        for message_id in self._ids():
            with suppress(FileNotFoundError):
                yield _read(self._path(message_id))

    def _ids(self) -> list[str]:
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return []
        return sorted((name.removesuffix(".json") for name in names if name.endswith(".json")), reverse=True)

    def _path(self, message_id: str) -> Path:
        return self.folder / f"{message_id}.json"


@lru_cache(maxsize=2 * KEPT)
def _read(path: Path) -> StoredMessage:
    return StoredMessage(**json.loads(path.read_text(encoding="utf-8")))


def store_of(settings: Settings) -> Store:
    """Return the mailbox of a service: beside its SQLite database, else in ``var/``."""
    database = make_url(settings.database_url).database if settings.is_sqlite else ""
    folder = Path("var") if not database or database == ":memory:" else Path(database).parent
    return Store(folder / "inbox")
