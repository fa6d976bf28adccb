"""In which order tests run: those that take long begin first, so that at the end no process waits for another's.

pytest-xdist gives each process a part of all tests, in order, and a process that is done takes over the last ones of
another's part. What begins the first part is taken over last.
"""

from __future__ import annotations

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests marked ``long`` first; apart from that the order stays."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
