"""Create, open and verify backups."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import orjson
import sqlalchemy as sa

from app import clock
from app.authenticators.keys import keys_in_use
from app.backup import builds, native, tables
from app.backup.builds import Progress
from app.backup.databases import Database, Postgresql, Sqlite, database_at
from app.backup.envelope import BackupReader, BackupWriter, Manifest
from app.backup.faults import BackupError, readable_errors
from app.backup.tables import Digest, Table, line_of
from app.command_language import N_, gettext, ngettext
from app.crypto.encryption import KeyRing
from app.db import migrations
from app.db.readiness import REVISION_ID
from app.extensions import keyring, settings, this_app
from app.version import VERSION

PORTABLE, SQLITE, PG_DUMP = "portable", "sqlite", "pg_dump"

STANDARD = "-"
"""Name for standard input or output."""

NOTHING_WRITTEN = "Nothing was written"
EXISTS = N_("{path} exists. Choose another name, or replace it with --force.")


def no_progress(what: str, rows: int) -> None:
    """Ignore progress."""


def _ring() -> KeyRing:
    """Return the key ring itself instead of its proxy, for use in another thread."""
    ring: KeyRing = this_app().extensions["latchkey.keyring"]
    return ring


# --- back up ------------------------------------------------------------------------------------


def back_up(name: str, *, native_copy: bool, force: bool, progress: Progress = no_progress) -> Manifest:
    """Write a backup of the service's database; return its manifest.

    :param name: file name; ``-`` for standard output
    :param native_copy: use SQLite's online backup or pg_dump instead of rows that either database can load
    :raises BackupError: with the reason, when nothing was written
    """
    database = database_at(settings.database_url)
    with new_file(name, force=force) as file, readable_errors(database_name(database), NOTHING_WRITTEN):
        if native_copy and isinstance(database, Sqlite):
            with native.copy_of(database) as copy:
                return _write(file, copy, SQLITE, progress)
        return _write(file, database, PG_DUMP if native_copy else PORTABLE, progress)


def database_name(database: Database) -> str:
    """Return the name of a database for messages."""
    return str(database.path) if isinstance(database, Sqlite) else "the database"


def _write(file: IO[bytes], database: Database, content: str, progress: Progress) -> Manifest:
    with database.snapshot() as connection:
        manifest = _begin(connection, database, content)
        writer = BackupWriter(file, _ring(), manifest.kid, manifest.salt)
        snapshot = _export_snapshot(connection, database) if content == PG_DUMP else ""
        for table in tables.found_tables(connection):
            into = writer if content == PORTABLE else None
            manifest.tables[table.name] = _write_table(connection, database, table, into, progress)
            if table.numbered:
                name = f"{table.name}.{table.numbered}"
                manifest.sequences[name] = database.last_number(connection, table)
        if content == PG_DUMP:
            assert isinstance(database, Postgresql)
            native.dump(database, snapshot, manifest.server, writer.write)
        elif isinstance(database, Sqlite) and content == SQLITE:
            with database.path.open("rb") as copy:
                while piece := copy.read(native.PIECE):
                    writer.write(piece)
        else:
            writer.write(b'{"end": true}\n')
        writer.finish(manifest)
    return manifest


def _begin(connection: sa.Connection, database: Database, content: str) -> Manifest:
    revision = tables.require_this_release(connection)
    return Manifest(
        content=content,
        database=database.kind,
        server=database.version(connection),
        revision=revision,
        version=VERSION,
        created_at=clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        kid=keyring.kid,
        keys=sorted(keys_in_use(connection) | {keyring.kid}),
        salt=secrets.token_hex(32),
    )


def _export_snapshot(connection: sa.Connection, database: Database) -> str:
    return str(connection.exec_driver_sql("SELECT pg_export_snapshot()").scalar_one())


def _write_table(
    connection: sa.Connection, database: Database, table: Table, into: BackupWriter | None, progress: Progress
) -> dict[str, Any]:
    """Read a table and return its row count and digest. For a portable backup, also write the rows."""
    digest = Digest()
    if into:
        into.write(orjson.dumps({"table": table.name, "columns": table.columns}) + b"\n")
    for rows in database.read(connection, table):
        lines = [line_of(row) for row in rows]
        digest.add(lines)
        if into:
            into.write(b"\n".join(lines) + b"\n")
        progress(table.name, digest.rows)
    return digest.value | {"columns": [name for name, _ in table.columns]}


# --- read ---------------------------------------------------------------------------------------


@contextmanager
def open_backup(name: str) -> Iterator[BackupReader]:
    """Open a backup whose manifest is authentic and whose keys are all available.

    :raises BackupError: otherwise
    """
    with backup_file(name) as file:
        found = BackupReader(file, gettext("The backup on standard input") if name == "-" else name, _ring())
        if missing := sorted(set(found.manifest.keys) - set(keyring.kids)):
            raise BackupError(
                ngettext(
                    "Rows of the backup are encrypted with key {keys}, not in LATCHKEY_SECRET_KEYS. Put what is "
                    "missing at the end of the list.",
                    "Rows of the backup are encrypted with keys {keys}, not in LATCHKEY_SECRET_KEYS. Put what is "
                    "missing at the end of the list.",
                    len(missing),
                    keys=", ".join(missing),
                )
            )
        yield found


def portable_content(found: BackupReader) -> builds.Content:
    """Yield the tables of a portable backup with their rows."""
    lines = found.lines()
    control: list[dict[str, Any]] = [orjson.loads(next(lines))]

    def rows() -> Iterator[list[Any]]:
        for line in lines:
            if line.startswith(b"{"):
                control.append(orjson.loads(line))
                return
            yield orjson.loads(line)

    while "table" in (head := control.pop()):
        table = Table(head["table"], tuple((name, kind) for name, kind in head["columns"]))
        rest = rows()
        yield table, rest
        for _ in rest:
            pass


def check(name: str, progress: Progress = no_progress) -> Manifest:
    """Read a whole backup and compare it with its manifest, without restoring anything.

    :raises BackupError: with the reason, when it couldn't be restored
    """
    with open_backup(name) as found:
        known_revision(found.manifest)
        counts = _counts(found, progress)
        for table, want in found.manifest.tables.items():
            got = counts.get(table, {"rows": 0})
            if any(want[key] != value for key, value in got.items()):
                raise BackupError(f"Table {table} has {got['rows']:,} rows, and its manifest says {want['rows']:,}.")
        return found.manifest


def known_revision(manifest: Manifest) -> str:
    """Return the revision of a backup's tables.

    :raises BackupError: when this release doesn't know it
    """
    known = migrations.revisions()
    head = known[-1]
    if manifest.revision in known:
        return manifest.revision
    if REVISION_ID.fullmatch(manifest.revision) and manifest.revision > head:
        release = f" ({manifest.version})" if manifest.version else ""
        raise BackupError(
            gettext(
                "The backup is of a newer release{release}: its tables are at {revision}, ours at {ours}. Install that "
                "release or a later one, and restore with it.",
                release=release,
                revision=manifest.revision,
                ours=head,
            )
        )
    raise BackupError(f"The backup's tables are at revision {manifest.revision}, which no release of ours has.")


def _counts(found: BackupReader, progress: Progress) -> dict[str, dict[str, Any]]:
    """Return row count and digest of each table; only the count for a pg_dump backup."""
    if found.manifest.content == PG_DUMP:
        copied = native.copied_rows(found.content())
        return {table: {"rows": sum(1 for _ in rows)} for table, _, rows in copied}
    if found.manifest.content == SQLITE:
        with extracted_database(found) as copy, copy.snapshot() as connection:
            return {table.name: copy.digest(connection, table) for table in tables_in_order(connection, found.manifest)}
    counts = {}
    for table, rows in portable_content(found):
        digest = Digest()
        digest.add(map(line_of, builds.counted(rows, table.name, progress)))
        counts[table.name] = digest.value
    return counts


def tables_in_order(connection: sa.Connection, manifest: Manifest) -> Iterator[Table]:
    """Yield the existing tables, with columns in the order in which the manifest's digests include them."""
    for table in tables.found_tables(connection):
        if table.name in manifest.tables:
            kinds = dict(table.columns)
            names = manifest.tables[table.name]["columns"]
            if set(names) != set(kinds):
                raise BackupError(f"Table {table.name} has other columns than the manifest says.")
            yield Table(table.name, tuple((name, kinds[name]) for name in names), table.numbered)


@contextmanager
def extracted_database(found: BackupReader) -> Iterator[Sqlite]:
    """Provide the SQLite database in a backup as a temporary file, next to ours or in a temporary directory."""
    database = database_at(settings.database_url)
    with tempfile.TemporaryDirectory() as folder:
        here = database if isinstance(database, Sqlite) else Sqlite(Path(folder, "backup.db"))
        with native.temporary_copy_path(here) as path:
            with path.open("wb") as file:
                for piece in found.content():
                    file.write(piece)
            yield Sqlite(path)


# --- files --------------------------------------------------------------------------------------


@contextmanager
def new_file(name: str, *, force: bool) -> Iterator[IO[bytes]]:
    """Provide a seekable file that becomes ``name`` if the block succeeds, readable by its owner only (0600).

    :param force: replace an existing file of that name
    :raises BackupError: when the file exists, or the disk is full or not writable; no new file is left then
    """
    if name == STANDARD:
        with tempfile.TemporaryFile() as file:
            yield file
            file.seek(0)
            shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        return
    path = Path(name)
    if path.is_dir():
        raise BackupError(gettext("{path} is a folder. Specify a file.", path=path))
    if path.exists() and not force:
        raise BackupError(gettext(EXISTS, path=path))
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with readable_errors(path.parent, NOTHING_WRITTEN):
            with os.fdopen(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            _name(draft, path, force=force)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def _name(draft: Path, path: Path, *, force: bool) -> None:
    """Rename ``draft`` to its final name, and sync the directory so that the name survives a power failure."""
    if force:
        draft.replace(path)
    else:
        try:
            os.link(draft, path)  # unlike a rename, fails if the file was created meanwhile
        except FileExistsError:
            raise BackupError(gettext(EXISTS, path=path)) from None
        except PermissionError:  # a file system without hard links
            draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def backup_file(name: str) -> Iterator[IO[bytes]]:
    """Open a backup. Standard input is buffered in a temporary file, still encrypted.

    :raises BackupError: when the file doesn't exist or can't be read
    """
    with readable_errors(name, "Nothing was read"):
        file = tempfile.TemporaryFile() if name == STANDARD else Path(name).open("rb")  # noqa: SIM115 - closed below
        with file:
            if name == STANDARD:
                shutil.copyfileobj(sys.stdin.buffer, file)
                file.seek(0)
            yield file
