"""Files in which the processes of a ``flask serve`` keep their metrics, so that one scrape covers all of them.

Each process writes its own memory-mapped files, and the counts of dead processes are kept. Disk space is allocated in
advance, since touching a mapped page on a full disk would kill the process with SIGBUS.
"""

from __future__ import annotations

import os
import shutil
import struct
import sys
import tempfile
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import structlog

from app import metrics
from app.db import disk_space

log = structlog.get_logger()

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
PREFIX = "latchkey-metrics-"
IN_MEMORY = Path("/dev/shm")  # noqa: S108 - the directory made there is for its owner alone
"""Files there never wait for disk I/O."""

BEAT = "beat-"
FULL = "full-"
"""Files of processes that have noticed that the database has no disk space."""

BEAT_EVERY = 2.0
"""Seconds between a process's heartbeats. A hung process answers no one and counts nothing that would reveal it."""

ROOM = {"counter": 1024 * 1024, "histogram": 2 * 1024 * 1024}
"""Bytes for all series of a process, by metric type."""


def make_directory() -> Path:
    """Create the directory and put it in the environment, before the library that reads it is imported.

    :raises OSError: when there is no space for it
    """
    assert "prometheus_client" not in sys.modules
    beside = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    remove_stale_directories(beside)
    directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=beside))
    os.environ[VARIABLE] = str(directory)
    return directory


def remove_stale_directories(beside: Path) -> None:
    """Remove directories left behind by killed services."""
    for found in beside.glob(f"{PREFIX}*-*"):
        pid = found.name.removeprefix(PREFIX).partition("-")[0]
        if found.stat().st_uid == os.getuid() and pid.isdigit() and not is_alive(int(pid)):
            shutil.rmtree(found, ignore_errors=True)


def is_alive(pid: int) -> bool:
    """Return whether a process with this ID exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def count_here(kind: str) -> bool:
    """Start collecting metrics in this process, right after the fork; return False if metrics are off or there is no
    space.

    :param kind: ``web``, or the name of a child process
    """
    if not (directory := os.environ.get(VARIABLE)):
        return False
    try:
        for name, size in ROOM.items():
            allocate(Path(directory, f"{name}_{os.getpid()}.db"), size)
    except OSError as error:
        log.error("metrics.no_room", directory=directory, error=error.strerror)
        return False
    metrics.turn_on(kind)
    metrics.PROCESSES.count(kind)
    beat = Path(directory, f"{BEAT}{os.getpid()}")
    threading.Thread(target=_keep_beating, args=(beat, kind), name="metrics-beat", daemon=True).start()
    full = Path(directory, f"{FULL}{os.getpid()}")
    disk_space.on_change(partial(_note_full, full))
    return True


def allocate(path: Path, size: int) -> None:
    """Create a metrics file of this size in bytes, or extend it.

    A scrape fails on an empty file, so a new one gets its name when it has its size.

    :raises OSError: if there is no space
    """
    file_path = path if path.exists() else path.with_suffix(".new")
    with file_path.open("ab") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    file_path.rename(path)


def _note_full(note: Path, is_full: bool) -> None:
    """Tell the process that serves metrics whether the database has disk space."""
    with suppress(OSError):
        if is_full:
            note.touch()
        else:
            note.unlink(missing_ok=True)


def full_notes() -> list[Path]:
    """Return the files of live processes that have noticed that the database has no disk space."""
    notes = Path(os.environ[VARIABLE]).glob(f"{FULL}*") if VARIABLE in os.environ else ()
    return [note for note in notes if is_alive(int(note.name.removeprefix(FULL)))]


def processes() -> dict[int, str]:
    """Return the kind of each live process of this service, by process ID: of this one alone if it serves itself."""
    if not (directory := os.environ.get(VARIABLE)):
        return {os.getpid(): metrics.process_kind() or "worker"}
    found = {os.getpid(): "metrics"}
    supervisor = Path(directory).name.removeprefix(PREFIX).partition("-")[0]
    if supervisor.isdigit() and is_alive(int(supervisor)):
        found[int(supervisor)] = "supervisor"
    for beat in Path(directory).glob(f"{BEAT}*"):
        pid = int(beat.name.removeprefix(BEAT))
        with suppress(FileNotFoundError):
            kind = beat.read_text()
            if kind and is_alive(pid):
                found[pid] = kind
    return found


def _keep_beating(beat: Path, kind: str) -> None:
    """Update the heartbeat file every few seconds, while this process runs and its directory exists."""
    with suppress(OSError):
        beat.write_text(kind)
        while True:
            beat.touch()
            time.sleep(BEAT_EVERY)


def longest_silence() -> float:
    """Return the seconds since the oldest heartbeat of a live process; 0 when there are no heartbeats."""
    if not (directory := os.environ.get(VARIABLE)):
        return 0.0
    silences = [0.0]
    for beat in Path(directory).glob(f"{BEAT}*"):
        if is_alive(int(beat.name.removeprefix(BEAT))):
            with suppress(FileNotFoundError):
                silences.append(time.time() - beat.stat().st_mtime)
    return max(silences)


def truncate_dead_files(directory: Path) -> None:
    """Truncate files of dead processes to the size they use."""
    for path in directory.glob("*.db"):
        pid = path.stem.rpartition("_")[2]
        if pid.isdigit() and not is_alive(int(pid)):
            with suppress(OSError, struct.error), path.open("r+b") as file:
                (used,) = struct.unpack("i", file.read(4))
                if used < path.stat().st_size:
                    file.truncate(max(used, 8))
