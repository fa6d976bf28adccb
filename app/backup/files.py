"""Atomic file creation: written under a temporary name, synced, then renamed."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from app.backup.faults import BackupError, readable_errors
from app.command_language import N_, gettext

STANDARD = "-"
"""Name for standard input or output."""

NOTHING_WRITTEN = "Nothing was written"
EXISTS = N_("{path} exists. Choose another name, or replace it with --force.")


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
