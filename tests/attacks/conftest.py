"""Attackers at real servers: the servers of ``tests/faults``, with two processes and no limits by IP address."""

from __future__ import annotations

from tests.faults.conftest import start, start_shared

__all__ = ["start", "start_shared"]
