"""A stop signal takes effect, whatever the main thread is doing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.databases import ROOT

ANY_TIME = """
import signal
from app import shutdown as stopping
stop = stopping.event_set_by(signal.SIGTERM, signal.SIGINT)
{when}signal.raise_signal(signal.{name})
raise SystemExit(0 if stop.wait(10) else 3)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("when", ["", "with stop._cond: "], ids=["between waits", "as a wait begins or ends"])
def test_stop_signal_sets_the_event(when, name):
    program = ANY_TIME.format(when=when, name=name)
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=30, check=False).returncode == 0
