"""Ada and her devices."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests import signed_in
from tests.authenticators import Device
from tests.factories import People, Person
from tests.wire import Answer, Wire

ASSURED = "webauthn,uv"
"""What opens the passkeys of who has some: a proof worth as much as they are."""


def sign_in(wire: Wire, person: Person, via: str = ASSURED) -> Wire:
    """Sign ``person`` in by a passkey with user verification, unless specified otherwise."""
    return signed_in.sign_in(wire, person, via)


@pytest.fixture
def ada(people: People) -> Person:
    """Someone who signs in by email."""
    return people.open(email="ada@example.com")


@pytest.fixture
def hers(wire: Wire, ada: Person) -> Wire:
    """Ada's browser, then her API client, signed in."""
    return sign_in(wire, ada)


@pytest.fixture
def device() -> Device:
    """Ada's phone."""
    return Device()


def asked(answer: Answer) -> tuple[dict[str, Any], str]:
    """Return the options and the state of a ceremony that ``answer`` begins. Raises AssertionError."""
    if answer.json:
        assert "credential_options" in answer.json, answer
        return answer.json["credential_options"], answer.json["wan_state"]
    boxes = [box for box in answer.page.boxes if "data-passkey-options" in box]
    assert len(boxes) == 1, f"one ceremony was expected in {answer!r}"
    return json.loads(boxes[0]["data-passkey-options"]), boxes[0]["data-passkey-state"]


@pytest.fixture
def add_passkey(app: Any) -> Callable[..., str]:
    """Adds a passkey of a device to an account: ``add_passkey(ada, device)``; returns its name."""

    def add(person: Person, device: Device, usage: str = "first", **named: str) -> str:
        browser = sign_in(Wire(app, "json"), person)
        options, state = asked(browser.post("/wan-register", usage=usage, **named))
        answer = browser.post(f"/wan-register/{state}", credential=device.make(options))
        assert answer.ok, answer
        return str(browser.get("/wan-register").json["registered_credentials"][-1]["name"])

    return add
