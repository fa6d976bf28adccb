"""Backup file format: a manifest that is readable but tamper-evident, and encrypted content.

::

    LATCHKEY-BACKUP                 16 bytes, then
    {"format": 1, ...}              the manifest, one line of JSON
    3b0c...                         its HMAC-SHA256 in hexadecimal
                                    line feeds, up to 64 KiB
    chunk, chunk, ... last chunk    content, compressed (zlib), in encrypted chunks

The content is encrypted with STREAM (Hoang, Reyhanitabar, Rogaway, Vizar 2015): AES-256-GCM in chunks, where the nonce
consists of the chunk's number and whether it is the last one. So chunks can't be omitted, reordered or truncated. Each
file has its own keys: HKDF-SHA256 of one of the service's keys, with a random 256-bit salt stored in the manifest. This
binds the content to its manifest, and no nonce is ever reused with a key (NIST SP 800-38D, section 8.2.1).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any, Final

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.backup.faults import BackupError
from app.command_language import N_, gettext, ngettext
from app.crypto.encryption import DecryptionError, KeyRing

MAGIC: Final = b"LATCHKEY-BACKUP\n"
FORMAT: Final = 1
AREA: Final = 65536
"""Size of the header before the content, in bytes."""

CHUNK: Final = 262_144
"""Bytes of content per chunk; the last one may be shorter."""

TAG: Final = 16
LEVEL: Final = 1
"""Compression level: a third of the size in a tenth of the time of the highest level."""

PURPOSE: Final = "backup"
OTHERS: Final = (
    (
        b"SQLite format 3\0",
        N_("{file} is an SQLite database, not a backup. Point LATCHKEY_DATABASE_URL at a copy of it."),
    ),
    (b"PGDMP", N_("{file} is a dump by pg_dump itself. Load it with pg_restore.")),
    (b"\x1f\x8b", N_("{file} is a gzip file, not a Latchkey backup.")),
    (b"PK\x03\x04", N_("{file} is a ZIP archive, not a Latchkey backup.")),
    (b"-- PostgreSQL", N_("{file} is a script by pg_dump. Load it with psql.")),
)
"""Signatures of files that are easily mistaken for a backup, with the error message for each."""


@dataclass(slots=True)
class Manifest:
    """What is readable of a backup without its key.

    :ivar content: ``portable`` (rows, for either database), ``sqlite`` (a copy) or ``pg_dump``
    :ivar database: the database it was made from, ``sqlite`` or ``postgresql``; ``server`` is that database's version
    :ivar revision: the migration its tables are at
    :ivar kid: ID of the service key that encrypts it
    :ivar keys: IDs of all keys that its rows are encrypted with
    :ivar tables: ``rows`` and ``digest`` by table name
    :ivar sequences: last assigned number by ``table.column``
    :ivar salt: salt of the file's keys, in hexadecimal
    :ivar size: bytes of encrypted content
    """

    content: str
    database: str
    server: str
    revision: str
    version: str
    created_at: str
    kid: str
    keys: list[str]
    salt: str
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    sequences: dict[str, int] = field(default_factory=dict)
    size: int = 0
    format: int = FORMAT

    @property
    def rows(self) -> int:
        """Total number of rows in all tables."""
        return sum(int(table["rows"]) for table in self.tables.values())


_KID = re.compile(r"[0-9a-f]{1,64}")


def _keys(ring: KeyRing, kid: str, salt: str) -> tuple[AESGCM, bytes]:
    """Return the cipher of a file and the MAC key of its manifest."""
    hkdf = HKDF(SHA256(), length=64, salt=bytes.fromhex(salt), info=b"latchkey|backup|1")
    both = hkdf.derive(ring.derive(PURPOSE, kid))
    return AESGCM(both[:32]), both[32:]


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


class BackupWriter:
    """Writes a backup to ``file``, which must be seekable and at its start."""

    def __init__(self, file: IO[bytes], ring: KeyRing, kid: str, salt: str) -> None:
        self._file = file
        self._cipher, self._mac_key = _keys(ring, kid, salt)
        self._pending = bytearray()
        self._number = 0
        self._compressor = zlib.compressobj(LEVEL)
        file.write(b"\n" * AREA)

    def write(self, content: bytes) -> int:
        """Add content; return its length."""
        self._pending += self._compressor.compress(content)
        while len(self._pending) > CHUNK:  # the last chunk is only empty if all content is
            self._write_chunk(CHUNK, last=False)
        return len(content)

    def finish(self, manifest: Manifest) -> None:
        """Write the last chunk, then ``manifest`` with the total size."""
        self._pending += self._compressor.flush()
        while len(self._pending) > CHUNK:
            self._write_chunk(CHUNK, last=False)
        self._write_chunk(len(self._pending), last=True)
        manifest.size = self._file.tell() - AREA
        line = orjson.dumps(manifest)
        mac = hmac.new(self._mac_key, line, hashlib.sha256).hexdigest().encode()
        head = MAGIC + line + b"\n" + mac + b"\n"
        if len(head) > AREA:
            raise BackupError(f"The manifest has {len(head)} bytes, more than {AREA}.")
        self._file.seek(0)
        self._file.write(head)

    def _write_chunk(self, length: int, *, last: bool) -> None:
        sealed = self._cipher.encrypt(_nonce(self._number, last), bytes(self._pending[:length]), None)
        del self._pending[:length]
        self._number += 1
        self._file.write(sealed)


def read_manifest(file: IO[bytes], name: str) -> tuple[Manifest, bytes, str]:
    """Return the manifest at the start of ``file``, its raw line and its MAC, none of which is authenticated yet.

    :param name: name of the file for error messages
    :raises BackupError: when it isn't a backup, is damaged, or is in an unknown format
    """
    head = file.read(AREA)
    if not head:
        raise BackupError(gettext("{path} is empty.", path=name))
    if not head.startswith(MAGIC):
        known = next((what for begin, what in OTHERS if head.startswith(begin)), N_("{file} isn't a Latchkey backup."))
        raise BackupError(gettext(known, file=name))
    line, _, rest = head[len(MAGIC) :].partition(b"\n")
    mac = rest.partition(b"\n")[0].decode("ascii", "replace")
    try:
        found = orjson.loads(line)
        number = int(found["format"])
    except (ValueError, TypeError, KeyError):
        raise _damaged(name) from None
    if number != FORMAT:
        raise BackupError(
            gettext(
                "{file} was made by a newer release (format {number}, ours is {ours}). Restore it with that release.",
                file=name,
                number=str(number),
                ours=str(FORMAT),
            )
        )
    try:
        manifest = Manifest(**found)
    except TypeError:
        raise _damaged(name) from None
    if not _KID.fullmatch(str(manifest.kid)):  # it is shown to the user before the MAC is checked
        raise _damaged(name)
    return manifest, line, mac


def _damaged(name: str) -> BackupError:
    return BackupError(gettext("{file} is damaged: its manifest can't be read. Use another copy of it.", file=name))


class BackupReader:
    """Reads a backup: its manifest, and its content on demand.

    :raises BackupError: from every method, when the key is missing, or the file was changed, damaged or truncated
    """

    def __init__(self, file: IO[bytes], name: str, ring: KeyRing) -> None:
        self._file, self._name = file, name
        self.manifest, line, mac = read_manifest(file, name)
        try:
            self._cipher, mac_key = _keys(ring, self.manifest.kid, self.manifest.salt)
        except (ValueError, TypeError):
            raise _damaged(name) from None
        except DecryptionError:
            raise BackupError(
                gettext(
                    "{file} is encrypted with key {key}, which isn't in LATCHKEY_SECRET_KEYS. Put that key at "
                    "the end of the list.",
                    file=name,
                    key=self.manifest.kid,
                )
            ) from None
        if not hmac.compare_digest(hmac.new(mac_key, line, hashlib.sha256).hexdigest().encode(), mac.encode()):
            raise self._changed(gettext("its manifest"))
        self._require_size()

    def _changed(self, what: str) -> BackupError:
        return BackupError(
            gettext(
                "{file} was changed or damaged: {what} fails its integrity check. Use another copy.",
                file=self._name,
                what=what,
            )
        )

    def _require_size(self) -> None:
        size = self._file.seek(0, 2) - AREA
        if size < self.manifest.size:
            missing = self.manifest.size - size
            text = ngettext(
                "{file} was cut short: its last byte is missing. Use another copy.",
                "{file} was cut short: its last {count} bytes are missing. Use another copy.",
                missing,
                file=self._name,
            )
            raise BackupError(text)
        if size > self.manifest.size:
            raise self._changed(gettext("what follows its end"))

    def content(self) -> Iterator[bytes]:
        """Yield the content in pieces, each of them authenticated."""
        self._file.seek(AREA)
        left, number, inflate = self.manifest.size, 0, zlib.decompressobj()
        while left:
            sealed = self._file.read(min(left, CHUNK + TAG))
            left -= len(sealed)
            try:
                plain = self._cipher.decrypt(_nonce(number, not left), sealed, None)
            except (InvalidTag, ValueError):
                raise self._changed(
                    gettext("byte {number} or one after it", number=AREA + number * (CHUNK + TAG))
                ) from None
            number += 1
            while plain:
                yield inflate.decompress(plain, 4 * CHUNK)
                plain = inflate.unconsumed_tail
        yield inflate.flush()
        if not inflate.eof:
            raise self._changed(gettext("its end"))

    def lines(self) -> Iterator[bytes]:
        """Yield the content line by line, without line feeds."""
        rest = b""
        for piece in self.content():
            *lines, rest = (rest + piece).split(b"\n")
            yield from lines
        if rest:
            yield rest
