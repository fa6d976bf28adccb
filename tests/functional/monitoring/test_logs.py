"""Log lines have the same format, whatever logs them."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import warnings

import pytest
import structlog

from app import observability
from app.version import VERSION
from tests.databases import KEY, ROOT
from tests.logging_kept import logging_kept
from tests.serving import OURS

pytestmark = pytest.mark.one_database


class Stream(io.TextIOWrapper):
    """Standard error, kept."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    @property
    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.buffer.getvalue().splitlines()]


@pytest.fixture
def said(app, monkeypatch):
    """What is logged as JSON. The test process logs as before afterwards."""
    stream = Stream()
    monkeypatch.setattr(sys, "stderr", stream)
    with logging_kept():
        observability.configure_logging("info", "json", "web-1")
        yield stream


def test_log_lines_carry_process_replica_and_version(said, client):
    client.get("/us-signin")
    structlog.get_logger().warning("something.happened")
    assert [line["event"] for line in said.lines] == ["request", "something.happened"]
    for line in said.lines:
        assert (line["process"], line["replica"], line["version"]) == (os.getpid(), "web-1", VERSION)
    request = said.lines[0]
    assert (request["method"], request["route"], request["status"]) == ("GET", "/us-signin", 200)
    assert len(request["request_id"]) == 32


def test_library_logs_warnings_and_exceptions_are_json(said):
    logging.getLogger("some.library").warning("its %s", "words")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("that is old", DeprecationWarning, stacklevel=1)
    try:
        raise ValueError("a fault of ours")
    except ValueError:
        logging.getLogger("some.library").exception("failed")
    library, old, failed = said.lines
    assert (library["event"], library["level"], library["logger"]) == ("its words", "warning", "some.library")
    assert "that is old" in old["event"]
    assert "ValueError: a fault of ours" in failed["exception"]
    assert all(line["replica"] == "web-1" for line in said.lines)


def started(**environment: str) -> subprocess.CompletedProcess[str]:
    settings = {
        "LATCHKEY_SECRET_KEYS": KEY,
        "LATCHKEY_PUBLIC_URL": "https://login.example.com",
        "LATCHKEY_MAIL_URL": "smtps://mail.example.com",
        "LATCHKEY_DATABASE_URL": "sqlite:////nowhere/at/all.db",
    }
    return subprocess.run(
        [sys.executable, "-m", "flask", "--app", "wsgi", "outbox", "list"],
        cwd=ROOT, env={**OURS, **settings, **environment}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_startup_warnings_are_json_lines(tmp_path):
    lines = started(LATCHKEY_LIMITS="off", LATCHKEY_TYPO="1", LATCHKEY_REPLICA_NAME="web-7").stderr.splitlines()
    found = [json.loads(line) for line in lines if line.startswith("{")]
    warned = {line["setting"]: line for line in found if line["event"] == "settings.warning"}
    assert {"LATCHKEY_LIMITS", "LATCHKEY_TYPO", "LATCHKEY_METHODS"} <= set(warned)
    assert all(line["level"] == "warning" and line["replica"] == "web-7" for line in warned.values())
    assert warned["LATCHKEY_TYPO"]["remedy"]
