"""The files in which the processes of one ``flask serve`` count, so that one scrape shows all of them.

Each process writes its own, mapped into memory; what a process that died has counted stays. The room is taken
beforehand: a mapped page for which the disk has no room would end the process with SIGBUS.
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
from pathlib import Path

import structlog

from app import metrics

log = structlog.get_logger()

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
PREFIX = "latchkey-metrics-"
IN_MEMORY = Path("/dev/shm")  # noqa: S108 - the directory made there is for its owner alone
"""Files there never wait for a disk."""

BEAT = "beat-"
BEAT_EVERY = 2.0
"""Seconds between two signs of a process: one that hangs answers nobody, and counts nothing that would show it."""

ROOM = {"counter": 1024 * 1024, "histogram": 2 * 1024 * 1024}
"""Bytes for all series that a process can have, by the kind of metric."""


def make_directory() -> Path:
    """Make the directory and name it in the environment, before the library that reads it is loaded.

    :raises OSError: when there is no room for it
    """
    assert "prometheus_client" not in sys.modules
    beside = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    forget_those_of_the_dead(beside)
    directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=beside))
    os.environ[VARIABLE] = str(directory)
    return directory


def forget_those_of_the_dead(beside: Path) -> None:
    """Remove directories of services that were killed."""
    for found in beside.glob(f"{PREFIX}*-*"):
        pid = found.name.removeprefix(PREFIX).partition("-")[0]
        if found.stat().st_uid == os.getuid() and pid.isdigit() and not is_alive(int(pid)):
            shutil.rmtree(found, ignore_errors=True)


def is_alive(pid: int) -> bool:
    """Say whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def count_here(kind: str) -> bool:
    """Begin to count in this process, right after its fork; return False where nothing is counted.

    :param kind: ``web``, or the name of a child process
    """
    if not (directory := os.environ.get(VARIABLE)):
        return False
    try:
        for name, size in ROOM.items():
            with open(Path(directory, f"{name}_{os.getpid()}.db"), "ab") as file:
                os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        log.error("metrics.no_room", directory=directory, error=error.strerror)
        return False
    metrics.turn_on()
    metrics.PROCESSES.count(kind)
    beat = Path(directory, f"{BEAT}{os.getpid()}")
    threading.Thread(target=_keep_beating, args=(beat,), name="metrics-beat", daemon=True).start()
    return True


def _keep_beating(beat: Path) -> None:
    """Give a sign every few seconds, for as long as this process runs and its directory is there."""
    with suppress(OSError):
        while True:
            beat.touch()
            time.sleep(BEAT_EVERY)


def longest_silence() -> float:
    """Return the seconds since the process that is silent longest gave a sign; 0 where none does."""
    if not (directory := os.environ.get(VARIABLE)):
        return 0.0
    silences = [0.0]
    for beat in Path(directory).glob(f"{BEAT}*"):
        if is_alive(int(beat.name.removeprefix(BEAT))):
            with suppress(FileNotFoundError):
                silences.append(time.time() - beat.stat().st_mtime)
    return max(silences)


def give_back_room(directory: Path) -> None:
    """Cut the files of processes that have ended to what is used of them."""
    for path in directory.glob("*.db"):
        pid = path.stem.rpartition("_")[2]
        if pid.isdigit() and not is_alive(int(pid)):
            with suppress(OSError, struct.error), path.open("r+b") as file:
                (used,) = struct.unpack("i", file.read(4))
                if used < path.stat().st_size:
                    file.truncate(max(used, 8))
