"""Jobs: longer work that requests leave to the worker, such as building an export."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from app.db import unavailable
from app.extensions import db, this_app

if TYPE_CHECKING:
    from flask import Flask

log = structlog.get_logger()

Job = Callable[[threading.Event], bool]
"""Does one piece of work, and returns whether there was any.

It claims its row by a conditional UPDATE under a lease, as messages are claimed, so that of two workers one does it
and after a crash another one does. What it leaves in the transaction is committed. Once the event that it is given is
set it has a second or two to give its row back.
"""

_REGISTERED = "latchkey.jobs"


def register_job(app: Flask, job: Job) -> None:
    """Have the worker run ``job`` in a thread of its own, so that no message waits for it."""
    app.extensions.setdefault(_REGISTERED, []).append(job)


def registered_jobs() -> list[Job]:
    """Return what is registered with the app that runs."""
    return list(this_app().extensions.get(_REGISTERED, ()))


def run_all(stop: threading.Event) -> None:
    """Run every errand until there is nothing left to do, or until ``stop``. Needs an app context."""
    for run in registered_jobs():
        while not stop.is_set() and _run_once(run, stop):
            pass


def _run_once(run: Job, stop: threading.Event) -> bool:
    """Run an errand once and commit; when it fails, the others go on."""
    try:
        worked = run(stop)
        db.session.commit()
    except Exception as error:  # an errand belongs to another package
        _note(run, error)
        db.session.rollback()
        return False
    return worked


def _note(run: Job, error: Exception) -> None:
    named = {"errand": getattr(run, "__qualname__", ""), "error": type(error).__name__}
    if unavailable(error):  # its row is there when the database is
        log.warning("worker.errand_put_off", **named)
    else:
        log.exception("worker.errand_failed", **named)
