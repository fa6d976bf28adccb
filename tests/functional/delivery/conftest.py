"""Message kinds used only here, so that these tests need no other package."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from tests.messages import teach

SECRET = "4071 9932"
"""What only the renderer knows, as it would know a passcode."""


@pytest.fixture
def make_app(make_app: Callable[..., Flask]) -> Callable[..., Flask]:
    """Creates applications that can render messages of the kind ``trial``."""

    def make(**different: Any) -> Flask:
        app = make_app(**different)
        teach(app, "trial", trial_words)
        return app

    return make


def trial_words(message: Any) -> Any:
    """Return the text of a message, always the same."""
    from app import outbox

    if message.channel == "sms":
        return outbox.TextMessage(f"Your code is {SECRET}\n@localhost #40719932")
    html = f"<p>Your code is <b>{SECRET}</b> für {message.facts.get('browser', '')}</p>"
    return outbox.EmailMessage(f"Your code {message.tag}", f"Your code is {SECRET}\n", html)


@pytest.fixture(autouse=True)
def rested_channels() -> Iterator[None]:
    """Close breakers and resume channels after the test."""
    from app.outbox.channels import attempt, mail, sms

    yield
    for each in (*sms.providers.values(), *mail.providers.values()):
        each.reset()
    attempt.resume()
    mail.quit_connection()


@pytest.fixture
def post(app: Flask) -> Callable[..., str]:
    """Puts a message in the outbox and commits: ``post("mail", "ada@example.com")`` returns its id."""

    def put(channel: str = "mail", to: str = "", kind: str = "trial", **more: Any) -> str:
        from app import outbox
        from app.extensions import db
        from app.outbox.service import ENQUEUED

        with app.app_context():
            to = to or {"mail": "ada@example.com", "sms": "+16502530000"}[channel]
            outbox.enqueue(kind, channel, to, **more)
            message_id = str(db.session().info[ENQUEUED][-1])
            db.session.commit()
        return message_id

    return put


@pytest.fixture
def attempt(app: Flask) -> Callable[[str], bool]:
    """Attempts one message now and returns whether it was sent."""

    def run(message_id: str) -> bool:
        from app import outbox

        with app.app_context():
            return outbox.deliver(message_id)

    return run


@pytest.fixture
def row(rows: Callable[..., list[Any]]) -> Callable[[str], Any]:
    """Reads one message."""

    def read(message_id: str) -> Any:
        from app.outbox import Message

        return rows(Message, id=message_id)[0]

    return read


@pytest.fixture
def working() -> Iterator[Callable[[Flask], threading.Event]]:
    """Starts a worker in a thread of this process; all of them are stopped after the test."""
    from app.outbox import worker

    running: list[tuple[threading.Thread, threading.Event]] = []

    def start(app: Flask) -> threading.Event:
        stop = threading.Event()
        thread = threading.Thread(target=worker.run, args=(app, stop), daemon=True)
        thread.start()
        running.append((thread, stop))
        return stop

    yield start
    for thread, stop in running:
        stop.set()
        thread.join(10)
        assert not thread.is_alive(), "the worker did not stop"
