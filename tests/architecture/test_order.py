"""Long tests start first (tests/order.py)."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.databases import ROOT

LONG_ONES_AMONG_OTHERS = """
import pytest

def test_a():
    pass

@pytest.mark.long
def test_b():
    pass

def test_c():
    pass

@pytest.mark.parametrize("case", [1, pytest.param(2, marks=pytest.mark.long)])
def test_d(case):
    pass
"""


@pytest.mark.parametrize("processes", ["0", "1"])
def test_long_tests_run_first_and_the_others_keep_their_order(tmp_path, processes):
    (tmp_path / "test_x.py").write_text(LONG_ONES_AMONG_OTHERS)
    command = [sys.executable, "-m", "pytest", "-v", "-p", "tests.order", "-p", "no:cacheprovider", "-c", "/dev/null"]
    command += ["-n", processes, "--dist", "worksteal", "--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    ran = [line for line in done.stdout.splitlines() if "PASSED" in line]
    found = [match.group() for line in ran if (match := re.search(r"test_\w(\[\d\])?(?=\s|$)", line))]
    assert found == ["test_b", "test_d[2]", "test_a", "test_c", "test_d[1]"], done.stdout + done.stderr
