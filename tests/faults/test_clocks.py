"""A machine's clock is minutes off: its codes and worker still work, because all use the database's clock."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.databases import ROOT
from tests.faults.accounts import open_one
from tests.faults.visitors import Visitor
from tests.sinks import code_in, until

pytestmark = pytest.mark.one_database

OFF = 660
"""Seconds: longer than a code lives."""

WRONG_CLOCK = """
import time

_time = time.time
time.time = lambda: _time() + {seconds}
"""


@pytest.fixture(params=[OFF, -OFF], ids=["fast", "slow"])
def wrong_clock(request, tmp_path) -> dict[str, str]:
    """The environment of processes on a machine with a wrong clock."""
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock" / "sitecustomize.py").write_text(WRONG_CLOCK.format(seconds=request.param))
    return {"PYTHONPATH": str(tmp_path / "clock")}


def test_replica_with_a_skewed_clock_accepts_codes_and_sends_mail(databases, start, smtp, wrong_clock):
    database = databases.fresh("postgresql")
    people = [open_one(database, email=f"ada{number}@example.com") for number in range(6)]
    right = start(database, workers=1)
    shared = {name: right.environment[name] for name in ("LATCHKEY_PUBLIC_URL", "LATCHKEY_QUEUE_URL")}
    wrong = start(database, workers=1, **shared, **wrong_clock)
    for number, ada in enumerate(people):  # requested at one, used at the other, sent by either
        asked, answered = (right, wrong) if number % 2 else (wrong, right)
        visitor = Visitor(asked.url, host=f"127.0.0.1:{right.port}")
        assert visitor.send_code(ada.email).status == 200
        until(lambda to=ada.email: smtp.to(to), 10)
        visitor.address = ("127.0.0.1", answered.port)
        assert visitor.sign_in(ada.email, code_in(smtp.to(ada.email)[-1])).status == 200
    assert database.query("SELECT count(*), max(attempts) FROM message WHERE state = 'sent'") == [(6, 1)]
    assert len(smtp.mails) == 6
    assert "clock.differs" in wrong.output
    assert "clock.differs" not in right.output
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "doctor"]
    environment = {"PATH": "/usr/bin:/bin"} | wrong.environment
    said = subprocess.run(command, cwd=ROOT, env=environment, timeout=60, capture_output=True, text=True).stdout
    assert f"differ by {OFF} s" in said
