"""Report skipped tests at the end of a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.requirements import NOT_INSTALLED, REQUIRE_ALL


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run with skipped tests if everything is required."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if REQUIRE_ALL and reporter is not None and reporter.stats.get("skipped"):
        reporter.write_line("tests were skipped, and LATCHKEY_TEST_REQUIRE_ALL is set", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: Any) -> Iterator[None]:
    """Report last how many tests were skipped because of missing system packages, and how to install them."""
    yield
    skipped: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", ()):
        reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else ""
        if reason.endswith(NOT_INSTALLED):
            name = reason.removeprefix("Skipped: ").removesuffix(NOT_INSTALLED).strip()
            skipped[name] = skipped.get(name, 0) + 1
    if skipped:
        counts = ", ".join(f"{count} without {name}" for name, count in sorted(skipped.items()))
        terminalreporter.section("system packages are missing", yellow=True)
        terminalreporter.write_line(
            f"Tests skipped: {counts}. Install what is missing: make system-packages", yellow=True
        )
