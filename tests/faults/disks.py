"""Small disks that can be filled up while a service keeps its database there."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SIZE = 8 * 1024 * 1024


class SmallDisk:
    """A separate file system of 8 MB. Mounting it requires root."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._ballast = directory / "ballast"

    def fill(self, _pids: list[int]) -> None:
        """Fill it completely."""
        with self._ballast.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        assert os.statvfs(self.directory).f_bavail == 0

    def free(self, _pids: list[int]) -> None:
        """Free some space."""
        self._ballast.unlink()


class LimitedFiles:
    """A substitute if no file system can be mounted: processes that can't let a file grow (RLIMIT_FSIZE)."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def fill(self, pids: list[int]) -> None:
        """Don't let the directory's largest file grow any further."""
        log = next(self.directory.glob("*-wal"))
        self._limit(pids, log.stat().st_size)

    def free(self, pids: list[int]) -> None:
        """Let files grow again."""
        self._limit(pids, resource.RLIM_INFINITY)

    def _limit(self, pids: list[int], size: int) -> None:
        for pid in pids:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@contextmanager
def small_disk(directory: Path, size: int = SIZE) -> Iterator[SmallDisk | LimitedFiles]:
    """Yield a disk of ``size`` bytes at ``directory`` that can be filled."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        yield LimitedFiles(directory)
        return
    try:
        yield SmallDisk(directory)
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)
