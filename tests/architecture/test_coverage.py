"""A run of everything says what its tests reach, and fails under the floor."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.databases import ROOT

PROJECT = """
[tool.coverage.run]
source = ["config"]
branch = true

[tool.coverage.report]
fail_under = {floor}
"""

READS_SETTINGS = """
import pytest
from config.settings import Settings

{mark}
def test_x():
    Settings(environment="development", database_url="sqlite:///x.db", secret_keys="x" * 64)
"""


@pytest.fixture
def run(tmp_path):
    """Runs one test under a floor, in so many test processes; returns exit status and output."""

    def run_it(floor: int, processes: int, test: str = "def test_x(): pass\n") -> tuple[int, str]:
        (tmp_path / "pyproject.toml").write_text(PROJECT.format(floor=floor))
        (tmp_path / "tests/unit").mkdir(parents=True, exist_ok=True)
        (tmp_path / "tests/unit/test_x.py").write_text(test)
        command = [sys.executable, "-m", "pytest", "-p", "tests.branch_coverage", "-p", "no:cacheprovider", "--floor"]
        command += ["-n", str(processes), "-c", "/dev/null", "--rootdir", str(tmp_path), "tests/unit/test_x.py"]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout + done.stderr

    return run_it


@pytest.mark.parametrize(("floor", "processes", "status"), [(1, 0, 0), (100, 2, 1)])
def test_a_run_prints_its_coverage_and_fails_under_the_floor(run, floor, processes, status):
    ended, output = run(floor, processes)
    assert f"The floor is {floor} %." in output
    assert ended == status, output


def test_what_is_marked_unmeasured_does_not_count(run):
    measured, unmeasured = (
        re.search(r"config: ([\d.]+) %", run(1, 0, READS_SETTINGS.format(mark=mark))[1])
        for mark in ("", "@pytest.mark.unmeasured")
    )
    assert measured
    assert unmeasured
    assert float(measured[1]) > float(unmeasured[1])
