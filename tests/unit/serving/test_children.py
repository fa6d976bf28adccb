"""Child processes of the supervisor: restarted when they die, and stopped with it."""

from __future__ import annotations

import multiprocessing.popen_fork
import os
import signal
import threading
import time
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from app.serving import supervisor
from app.serving.supervisor import Child
from tests.sinks import until


def obedient(stop):
    stop.wait()


def deaf(_stop):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    time.sleep(30)


@pytest.fixture
def started():
    """Starts children with a job; returns the child and what is logged of it. Ends with the test."""
    made = []
    with capture_logs() as lines:

        def start(job):
            child = Child("delivery", job)
            child.start()
            made.append(child)
            return SimpleNamespace(child=child, process=child._process, log=lines)

        yield start
        for child in made:
            child.stop()


def events(started):
    return [line["event"] for line in started.log]


def test_child_reaped_by_another_thread_is_not_reported_as_killed(started, monkeypatch):
    def slow_to_note(*arguments):
        keeper = threading.current_thread().name.startswith("keeper")
        time.sleep(0 if keeper else 0.2)
        found = os.waitpid(*arguments)
        time.sleep(2 if keeper else 0)
        return found

    monkeypatch.setattr(multiprocessing.popen_fork, "os", SimpleNamespace(**vars(os) | {"waitpid": slow_to_note}))
    it = started(obedient)
    time.sleep(0.2)
    it.child.stop()
    assert events(it) == []


def test_child_that_ignores_sigterm_is_killed(started, monkeypatch):
    monkeypatch.setattr(supervisor, "STOP_TIMEOUT", 0.2)
    it = started(deaf)
    time.sleep(0.2)
    it.child.stop()
    assert (events(it), it.process.exitcode) == (["server.child_killed"], -signal.SIGKILL)


def test_dead_child_is_restarted_and_its_status_logged(started, monkeypatch):
    monkeypatch.setattr(supervisor, "MIN_BACKOFF", 0.01)
    it = started(obedient)
    it.process.kill()
    until(lambda: it.child._process is not it.process and it.child._process.is_alive())
    assert [(line["event"], line["status"]) for line in it.log] == [("server.child_died", -signal.SIGKILL)]


def test_sigterm_to_all_processes_is_not_logged_as_a_child_death(started):
    it = started(obedient)
    os.kill(it.process.pid, signal.SIGTERM)
    time.sleep(supervisor.DEATH_REPORT_DELAY / 4)
    it.child.expect_end()
    time.sleep(supervisor.DEATH_REPORT_DELAY * 2)
    it.child.stop()
    assert events(it) == []
    assert it.child._process is it.process


def test_stop_cancels_a_pending_restart(started):
    it = started(obedient)
    it.process.kill()
    until(lambda: "server.child_died" in events(it))
    it.child.stop()
    time.sleep(supervisor.MIN_BACKOFF * 3)
    assert it.child._process is it.process
