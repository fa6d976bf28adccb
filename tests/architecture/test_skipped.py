"""The end of a run reports tests that were skipped because a system package is missing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.databases import ROOT

REQUIRES_NGINX = """
import pytest
from tests import requirements

@pytest.mark.parametrize("number", range(3))
def test_x(number, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    requirements.program("nginx")
"""


@pytest.fixture
def run(tmp_path):
    """Runs a test module in which three tests require nginx; returns exit status and output."""

    def run_it(processes: int, **environment: str) -> tuple[int, str]:
        (tmp_path / "test_x.py").write_text(REQUIRES_NGINX)
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "tests.skipped",
            "-p",
            "no:cacheprovider",
            "-n",
            str(processes),
        ]
        command += ["-c", "/dev/null", "--rootdir", str(tmp_path), str(tmp_path)]
        environment = {"PATH": os.environ["PATH"], **environment}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout

    return run_it


@pytest.mark.parametrize("processes", [0, 2])
def test_skipped_tests_are_counted_with_the_install_command(run, processes):
    status, output = run(processes)
    assert status == 0, output
    assert "Tests skipped: 3 without nginx. Install what is missing: make system-packages" in output.splitlines()[-2]


def test_missing_program_fails_the_run_when_everything_is_required(run):
    status, output = run(0, LATCHKEY_TEST_REQUIRE_ALL="1")
    assert status == 1
    assert "nginx is not installed" in output
