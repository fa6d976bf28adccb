"""Jobs: a failed one is rolled back and doesn't stop the others; an unavailable database is waited for."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa

from app.audit import Event
from app.outbox import jobs

pytestmark = pytest.mark.both_databases


@pytest.fixture
def only(monkeypatch):
    """Registers these jobs with the worker, and no others."""

    def known(*functions) -> None:
        monkeypatch.setattr(jobs, "registered_jobs", lambda: list(functions))

    return known


def noted(name: str, times: int = 1):
    """Return a job that records an event that many times."""
    left = [times]

    def run(_stop) -> bool:
        from app.audit import record

        left[0] -= 1
        record(name)
        return left[0] > 0

    return run


def failing(_stop) -> bool:
    """Write something, and fail."""
    noted("half.done")(_stop)
    raise ZeroDivisionError


def away(_stop) -> bool:
    """Find the database away."""
    raise sa.exc.OperationalError("SELECT 1", {}, Exception("database is locked"))


def names(rows) -> list[str]:
    """Return what was noted."""
    return [event.name for event in rows(Event)]


def test_job_repeats_until_no_work_is_left(app, only, rows):
    only(noted("some.work", 3))
    with app.app_context():
        jobs.run_jobs(threading.Event())
    assert names(rows) == ["some.work"] * 3


@pytest.mark.parametrize("broken", [failing, away])
def test_failing_job_is_rolled_back_and_does_not_stop_the_others(app, only, rows, broken):
    only(broken, noted("other.work"))
    with app.app_context():
        jobs.run_jobs(threading.Event())
    assert names(rows) == ["other.work"]


def test_stopping_worker_starts_no_further_job(app, only, rows):
    stop = threading.Event()
    only(lambda _stop: bool(stop.set()) or True, noted("other.work"))
    with app.app_context():
        jobs.run_jobs(stop)
    assert names(rows) == []
