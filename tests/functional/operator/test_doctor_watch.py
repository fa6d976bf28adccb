"""``flask doctor --watch``: keeps checking, prints changes, and exits with the last state."""

from __future__ import annotations

import json
import signal
import threading

import pytest

from app import shutdown


@pytest.fixture
def stop(monkeypatch) -> threading.Event:
    """The signal that ends a watch; this process's own handlers stay as they are."""
    event = threading.Event()
    monkeypatch.setattr(shutdown, "event_set_by", lambda *signals: watched_for(event, signals))
    return event


def watched_for(event: threading.Event, signals) -> threading.Event:
    assert set(signals) == {signal.SIGINT, signal.SIGTERM}
    return event


@pytest.fixture
def between(stop, monkeypatch):
    """Do something between two looks: ``between(smtp.down, smtp.up)``. Nothing is waited for."""

    def act(*steps) -> None:
        todo = list(steps)

        def wait(_seconds: float) -> bool:
            if todo:
                todo.pop(0)()
            return stop.is_set()

        monkeypatch.setattr(stop, "wait", wait)

    return act


def states(output: str, subject: str) -> list[str]:
    """Return the states that a watch gave a subject, in their order."""
    return [words[1] for line in output.splitlines() if (words := line.split())[2:3] == [subject]]


def test_watch_prints_only_changes_after_the_first_round(operate, smtp, between):
    between(smtp.down, lambda: None, smtp.up)
    result = operate("doctor", "--watch", "--rounds", "4")
    assert states(result.stdout, "mail") == ["ok", "fix", "over", "ok"]
    assert states(result.stdout, "database") == ["ok"]
    assert result.exit_code == 0, result.stdout


def test_watch_exits_with_1_if_a_problem_remains(operate, smtp, between):
    between(smtp.down)
    result = operate("doctor", "--watch", "--rounds", "2")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (1, "1 to fix.")


def test_watch_exits_on_signal(operate, stop, between):
    between(lambda: None, stop.set)
    assert operate("doctor", "--watch", "--every", "3600").exit_code == 0


def test_watch_prints_complete_json_lines(operate, smtp, between):
    between(smtp.down)
    result = operate("doctor", "--watch", "--rounds", "2", "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert all(set(line) == {"at", "state", "subject", "what", "remedy"} for line in lines)
    assert [(line["state"], line["subject"]) for line in lines][-1] == ("mend", "mail")
    assert lines[-1]["remedy"]


def test_json_without_watch_runs_once(operate):
    result = operate("doctor", "--json")
    assert result.exit_code == 0
    assert {json.loads(line)["subject"] for line in result.stdout.splitlines()} >= {"database", "outbox", "budgets"}


def test_watch_ignores_changed_figures(operate, app, database, clock, between):
    from app.outbox import jobs

    with app.app_context():
        jobs.record_heartbeat("a", replica="web-1", started_at=clock.now())
    between(lambda: clock.shift(7))
    result = operate("doctor", "--watch", "--rounds", "2")
    assert sum("web-1" in line for line in result.stdout.splitlines()) == 1


def test_rounds_option_requires_watch(operate):
    result = operate("doctor", "--rounds", "2")
    assert result.exit_code == 2
    assert "--watch" in result.output


@pytest.mark.both_databases
def test_doctor_lists_workers_and_reports_the_stalled_one(operate, app, clock):
    from app.outbox import jobs
    from app.version import VERSION

    with app.app_context():
        start = clock.now()
        clock.shift(3600)
        jobs.record_heartbeat("a", replica="web-1", started_at=start, swept_at=clock.now())
        jobs.record_heartbeat("b", replica="web-2", started_at=start, swept_at=start)
    result = operate("doctor")
    said = {name: next(line for line in result.stdout.splitlines() if name in line) for name in ("web-1", "web-2")}
    assert said["web-1"].startswith("ok")
    assert f"release {VERSION}" in said["web-1"]
    assert said["web-2"].startswith("fix")
    assert "60 min" in said["web-2"]
    assert result.exit_code == 1


@pytest.mark.both_databases
def test_worker_of_a_previous_release_is_listed(operate, app, database, clock):
    from app.outbox import jobs

    with app.app_context():
        jobs.acquire_role(jobs.WORKER + "old", "old")
    assert "older than 0.1.0" in operate("doctor").stdout
