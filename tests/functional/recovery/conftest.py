"""Bob, who has lost his app, and the steps of his recovery."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.factories import Person
from tests.sinks import code_in
from tests.wire import Answer, Wire

HOUR = 3600
WAIT = 72 * HOUR


@pytest.fixture
def bob(people) -> Person:
    """Someone who signs in by email and app, and has a phone for notifications."""
    opened: Person = people.open(
        email="bob@example.com", phone="+16502530001", methods=["email", "authenticator"], second="authenticator"
    )
    return opened


@pytest.fixture
def proves(mail_to: Callable[[str], Any]) -> Callable[..., Answer]:
    """Verifies a mailbox: ``proves(wire, "bob@example.com")`` returns the response with the account's state."""

    def prove(wire: Wire, email: str) -> Answer:
        wire._csrf = None  # days may have passed since the last one
        asked = wire.post("/recover", identity=email)
        assert asked.ok, asked
        return wire.post("/recover/prove", identity=email, passcode=code_in(mail_to(email)))

    return prove


@pytest.fixture
def starts(proves: Callable[..., Answer]) -> Callable[..., Answer]:
    """Verifies a mailbox and starts the waiting period."""

    def start(wire: Wire, email: str) -> Answer:
        return wire.post("/recover/start", proof=proof_in(proves(wire, email)))

    return start


def proof_in(answer: Answer) -> str:
    """Return the token for the verified mailbox. Raises AssertionError."""
    proof = answer.json.get("proof") or answer.page.value("proof")
    assert proof, answer
    return str(proof)


def state_in(answer: Answer) -> str:
    """Return the account's state from the JSON or the page's heading."""
    headings = {
        "You can sign in by email": "not_needed",
        "Recovery limit reached": "capped",
        "Before you start": "start",
        "Your recovery has started": "waiting",
        "The waiting period is over": "ready",
    }
    return str(answer.json.get("state") or headings.get(answer.page.heading, answer.page.heading))


def cancel_path(text: str) -> str:
    """Return the path of the link in a message that cancels."""
    return re.search(r"http://localhost(/recover/cancel/\S+)", text)[1]  # type: ignore[index]
