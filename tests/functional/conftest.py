"""Fixtures for all functional tests."""

from __future__ import annotations

import pytest

SELDOM = 5.0
"""Seconds. The database never hangs here; where it does, tests are in ``tests/faults`` and ``tests/unit/db``."""


@pytest.fixture(autouse=True)
def watchdogs_that_look_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the watchdogs of shared applications sleep: a hundred of them woke a test process 400 times a second."""
    from app.db import postgresql

    monkeypatch.setattr(postgresql, "CHECK_INTERVAL", SELDOM)
