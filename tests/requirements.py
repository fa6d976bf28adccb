"""What tests need of the machine, and what happens when it is not there."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

REQUIRE_ALL = os.environ.get("LATCHKEY_TEST_REQUIRE_ALL", "") not in ("", "0")
"""Whether a test that can't run here is a failure. Set where nothing may be missed."""


def missing(what: str) -> NoReturn:
    """Skip this test because ``what`` is missing, or fail it where everything is required."""
    if REQUIRE_ALL:
        pytest.fail(f"{what} (LATCHKEY_TEST_REQUIRE_ALL is set)", pytrace=False)
    pytest.skip(what)
