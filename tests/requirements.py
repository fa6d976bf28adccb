"""System programs that tests require, and what happens if they are missing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

REQUIRE_ALL = os.environ.get("LATCHKEY_TEST_REQUIRE_ALL", "") not in ("", "0")
"""Whether tests that can't run here fail instead of being skipped."""

LISTED = Path(__file__).with_name("system-packages.txt")
PACKAGES = {
    name: packages.split()
    for name, _, packages in (
        line.partition(" ") for line in LISTED.read_text().splitlines() if line[:1] not in ("", "#")
    )
}
"""Debian packages of each program that tests run. ``make system-packages`` installs the missing ones."""

NOT_INSTALLED = "is not installed: make system-packages"


def program(name: str) -> str:
    """Return the path of a program in tests/system-packages.txt. Skip the test if it isn't installed."""
    assert name in PACKAGES, f"tests/system-packages.txt does not say which package brings {name}"
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"  # Debian keeps servers off the PATH of users
    return shutil.which(name, path=path) or missing(f"{name} {NOT_INSTALLED}")


def missing(what: str) -> NoReturn:
    """Skip this test because ``what`` is missing, or fail it if everything is required."""
    if REQUIRE_ALL:
        pytest.fail(f"{what} (LATCHKEY_TEST_REQUIRE_ALL is set)", pytrace=False)
    pytest.skip(what)
