"""Memory and open files of this service's processes, read from /proc. Systems without it don't report them."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.monitoring.readings import Gauge
from app.monitoring.shared_files import processes

PROC = Path("/proc")

_LIMIT = re.compile(r"^Max open files +(\d+) ", re.MULTILINE)
_LABELS = ("kind", "process")


@dataclass(frozen=True, slots=True)
class Usage:
    """Resources that a process uses.

    :ivar memory: resident memory in bytes
    :ivar files: number of open file descriptors
    :ivar most_files: its limit on open files; None for no limit
    """

    memory: int
    files: int
    most_files: int | None


def usage_of(pid: int) -> Usage | None:
    """Return what a process uses; None if it has ended, isn't ours, or there is no /proc."""
    place = PROC / str(pid)
    try:
        pages = int((place / "statm").read_text().split()[1])
        files = len(os.listdir(place / "fd"))
        limit = _LIMIT.search((place / "limits").read_text())
    except OSError:
        return None
    return Usage(pages * os.sysconf("SC_PAGE_SIZE"), files, int(limit[1]) if limit else None)


def read() -> Iterator[Gauge]:
    """Yield the memory and open files of each process, numbered within its kind."""
    memory: dict[tuple[str, ...], float] = {}
    files: dict[tuple[str, ...], float] = {}
    limits: dict[tuple[str, ...], float] = {}
    numbers: defaultdict[str, int] = defaultdict(int)
    for pid, kind in sorted(processes().items()):
        if (usage := usage_of(pid)) is None:
            continue
        numbers[kind] += 1
        labels = (kind, str(numbers[kind]))
        memory[labels], files[labels] = float(usage.memory), float(usage.files)
        if usage.most_files is not None:
            limits[labels] = float(usage.most_files)
    if memory:
        yield Gauge("latchkey_process_resident_bytes", "Resident memory of a process.", _LABELS, memory)
        yield Gauge("latchkey_process_open_files", "Open file descriptors of a process.", _LABELS, files)
        yield Gauge("latchkey_process_open_files_limit", "Files that a process may open.", _LABELS, limits)
