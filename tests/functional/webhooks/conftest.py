"""Webhook endpoints, and a worker that posts due events when a test says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from flask import Flask

from tests.webhook_receiver import Hook, Receiver


@dataclass
class Added:
    """An endpoint that was added, with its secret."""

    id: str
    secret: str


@pytest.fixture(autouse=True)
def rested_channels() -> Iterator[None]:
    """Leave no conversation that was cut off to the next test."""
    from app.outbox.channels import attempt

    yield
    attempt.resume()


@pytest.fixture
def operate(app: Flask) -> Callable[..., str]:
    """Runs a command: ``operate("list")`` is ``flask webhooks list``; returns what it printed."""

    def run(*words: str, fails: int = 0) -> str:
        result = app.test_cli_runner().invoke(args=["webhooks", *words])
        assert result.exit_code == fails, result.output
        return result.output

    return run


@pytest.fixture
def add(app: Flask) -> Callable[..., Added]:
    """Adds an endpoint: ``add(receiver, "session.*")``."""

    def run(where: Receiver | str, *events: str) -> Added:
        from app.extensions import db
        from app.webhooks import endpoints

        with app.app_context():
            url = where if isinstance(where, str) else where.url
            endpoint, secret = endpoints.create(url, events or ("*",), by="operator")
            db.session.commit()
            return Added(endpoint.id, secret)

    return run


@pytest.fixture
def post_due(app: Flask) -> Callable[[], int]:
    """Posts what is due as a worker does, until nothing is; returns how many tries that were."""

    def run() -> int:
        from app.webhooks.delivery import Queue, send

        queue, tries = Queue(), 0
        with app.app_context():
            while due := queue.due():
                for each in due:
                    tries += sum(outcome.is_attempt for outcome in send(each.destination, queue.claim_from(each, 16)))
        return tries

    return run


@pytest.fixture
def posted(post_due: Callable[[], int], receiver: Receiver) -> Callable[[], list[Hook]]:
    """Posts what is due and returns what arrived by that."""

    def run() -> list[Hook]:
        before = len(receiver.hooks)
        post_due()
        return receiver.hooks[before:]

    return run
