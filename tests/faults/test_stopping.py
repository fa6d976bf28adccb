"""A server that is told to stop, and one whose supervisor is killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from typing import Any

import pytest

from app.serving import supervisor
from tests.faults.accounts import open_many
from tests.faults.crowd import Crowd
from tests.faults.locks import writers_kept_out
from tests.faults.visitors import UNANSWERED, Answer, Visitor
from tests.serving import Server
from tests.sinks import until

ENDS_WITHIN = 15.0

pytestmark = [pytest.mark.usefixtures("started_as_typed"), pytest.mark.both_databases]


def test_sigterm_lets_running_requests_finish(fresh_database, start):
    addresses = open_many(fresh_database, 3)
    server = start(fresh_database)
    answers: list[Answer] = []
    visitors = [Visitor(server.url) for _ in addresses]
    for visitor in visitors:
        visitor.get("/us-signin")
    with writers_kept_out(fresh_database):
        threads = [
            threading.Thread(target=lambda who=who, to=to: answers.append(who.send_code(to)), daemon=True)
            for who, to in zip(visitors, addresses, strict=True)
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.7)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.7)
    for thread in threads:
        thread.join(10)
    assert server.process.wait(ENDS_WITHIN) == 0
    assert [answer.status for answer in answers] == [200] * len(addresses)
    assert server.processes() == []


def test_stop_under_load_loses_no_session_or_message(fresh_database, start, smtp):
    addresses = open_many(fresh_database, 400)
    server = start(fresh_database)
    with Crowd(server.url, addresses, smtp) as ledger:
        until(lambda: len(ledger.sessions) > 20, 30)
        assert server.stop() == 0
    assert server.processes() == []
    assert ledger.wrong == []
    sessions = fresh_database.query("SELECT count(*) FROM auth_session")[0][0]
    assert sessions == len(ledger.sessions), "every session that was opened was handed out"
    assert fresh_database.query("SELECT count(*) FROM message WHERE state = 'sending'") == [(0,)]


@pytest.mark.one_database
def test_processes_exit_when_the_supervisor_is_killed(fresh_database, start, smtp):
    addresses = open_many(fresh_database, 400)
    server = start(fresh_database)
    with Crowd(server.url, addresses, smtp, size=3):
        time.sleep(0.5)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait(5)
        until(lambda: server.processes() == [], ENDS_WITHIN)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", server.port))


@pytest.mark.one_database
def test_killed_processes_are_replaced(fresh_database, start):
    server = start(fresh_database)
    before = server.processes()
    time.sleep(5 * supervisor.CHECK_INTERVAL)
    for pid in before[1:]:
        os.kill(pid, signal.SIGKILL)

    def whole_again() -> bool:
        try:
            return Visitor(server.url).get("/readyz").status == 200 and len(server.processes()) == len(before)
        except UNANSWERED:
            return False

    until(whole_again, ENDS_WITHIN)
    assert server.process.poll() is None
    until(lambda: len(deaths(server)) == len(before) - 1)
    assert {line["status"] for line in deaths(server)} == {-signal.SIGKILL}
    assert (
        len({line["pid"] for line in deaths(server) if line["event"] == "server.web_process_died"} & set(before)) == 2
    )


def deaths(server: Server) -> list[dict[str, Any]]:
    """Return the log lines about processes that died."""
    lines = [json.loads(line) for line in server.output.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"].endswith("_died")]


@pytest.mark.one_database
def test_sigterm_to_the_whole_process_group_logs_no_error(fresh_database, start):
    server = start(fresh_database)
    os.killpg(server.process.pid, signal.SIGTERM)  # systemd's default
    assert server.process.wait(ENDS_WITHIN) == 0
    assert server.processes() == []
    assert '"level":"error"' not in server.output
