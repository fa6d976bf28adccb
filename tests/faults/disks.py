"""Small disks, to be filled up while a service keeps its database there."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SIZE = 8 * 1024 * 1024


class SmallDisk:
    """A file system of its own, of 8 MB. It takes root to mount one."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._ballast = directory / "ballast"

    def fill(self, _pids: list[int]) -> None:
        """Leave no package on it."""
        with self._ballast.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        assert os.statvfs(self.directory).f_bavail == 0

    def free(self, _pids: list[int]) -> None:
        """Leave room again."""
        self._ballast.unlink()


class LimitedFiles:
    """Where no file system may be mounted: processes that may not let a file grow (RLIMIT_FSIZE)."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def fill(self, pids: list[int]) -> None:
        """Let the largest file of the directory grow no further."""
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
    """Give a disk of ``size`` bytes at ``directory`` that can be filled."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        yield LimitedFiles(directory)
        return
    try:
        yield SmallDisk(directory)
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)
