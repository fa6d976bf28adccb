"""Order of the tests: long ones start first, so that no process has to wait for another at the end.

pytest-xdist assigns each process a part of all tests, in order, and a process that is done takes over the last tests of
another part. Tests at the beginning of the first part are taken over last.
"""

from __future__ import annotations

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests marked ``long`` first, keeping the order otherwise."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
