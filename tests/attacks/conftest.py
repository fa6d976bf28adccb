"""Attackers at real servers: what ``tests/faults`` starts, with two processes and no limits by address."""

from __future__ import annotations

from tests.faults.conftest import start, start_shared

__all__ = ["start", "start_shared"]
