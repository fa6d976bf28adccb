"""Ada, who has a mailbox, and the first steps of most sign-ins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.factories import Person
from tests.sinks import code_in, link_in
from tests.wire import Wire


@pytest.fixture
def ada(people) -> Person:
    """Someone who signs in by email."""
    return people.open(email="ada@example.com")


@pytest.fixture
def bob(people) -> Person:
    """Someone who signs in by email, with an app as the second factor."""
    return people.open(email="bob@example.com", methods=["email", "authenticator"], second="authenticator")


@pytest.fixture
def code_for(request: pytest.FixtureRequest, mail_to: Callable[[str], Any]) -> Callable[..., str]:
    """Requests a code by email and returns it: ``code_for("ada@example.com", by=other_browser)``."""

    def ask(identity: str, *, by: Wire | None = None, **more: Any) -> str:
        fields = {"identity": identity, "chosen_method": "email"} | more
        answer = (by or request.getfixturevalue("wire")).post("/us-signin/send-code", **fields)
        assert answer.ok, answer
        return code_in(mail_to(identity))

    return ask


@pytest.fixture
def link_for(code_for: Callable[..., str], smtp) -> Callable[..., str]:
    """Asks for a mail and returns its link without scheme and host."""

    def ask(identity: str, *, by: Wire | None = None, **more: Any) -> str:
        code_for(identity, by=by, **more)
        return link_in(smtp.to(identity)[-1], "/us-verify-link").removeprefix("http://localhost")

    return ask


@pytest.fixture
def sign_in(request: pytest.FixtureRequest, code_for: Callable[..., str]) -> Callable[..., Wire]:
    """Signs someone in by email code, and returns the browser: ``sign_in("ada@example.com")``."""

    def enter(identity: str, *, by: Wire | None = None, path: str = "/us-signin", **more: Any) -> Wire:
        browser: Wire = by or request.getfixturevalue("wire")
        code = code_for(identity, by=browser)
        answer = browser.post(path, identity=identity, passcode=code, **more)
        assert answer.ok, answer
        return browser

    return enter


def wrong(code: str) -> str:
    """Return another code of the same length."""
    return "".join(str(9 - int(digit)) for digit in code)
