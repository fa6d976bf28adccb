"""The service that the browser tests share (tests/shared_service.py), and browsers that use it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from tests.browser.mailbox import Mailbox
from tests.factories import People, Person
from tests.serving import Server

ERROR_RESPONSE = re.compile(r"Failed to load resource: the server responded with a status of 4\d\d")
"""Chromium's console message for an error response, which the page itself shows."""

_numbers = itertools.count(1)


@pytest.fixture
def live_server(shared_server: Server) -> Server:
    """The shared service."""
    return shared_server


@pytest.fixture
def new_browser(chromium: Any, live_server: Server) -> Iterator[Callable[..., Any]]:
    """Opens browsers with separate cookies; the test fails if one of their pages has an error or warning."""
    contexts = []
    faults: list[str] = []

    def note(line: Any) -> None:
        if line.type in ("error", "warning") and not ERROR_RESPONSE.match(line.text):
            faults.append(f"{line.text} ({line.location})")

    def open_page(**options: Any) -> Any:
        context = chromium.new_context(base_url=live_server.url, **options)
        contexts.append(context)
        context.set_default_timeout(30_000)
        context.on("console", note)
        context.on("weberror", lambda error: faults.append(str(error.error)))
        return context.new_page()

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture
def people(shared_app: Flask) -> People:
    """Creates accounts at the shared service."""
    return People(shared_app)


@pytest.fixture
def email() -> str:
    """An email address that no other test uses."""
    return f"ada{next(_numbers)}@example.com"


@pytest.fixture
def phone() -> str:
    """A phone number that no other test uses."""
    return f"+1650253{next(_numbers):04}"


@pytest.fixture
def mailbox(live_server: Server) -> Mailbox:
    """The messages that the service has sent: ``mailbox.newest(email)``."""
    return Mailbox(live_server.url)


@pytest.fixture
def sign_in(page: Any, shared_app: Flask, live_server: Server) -> Callable[..., Any]:
    """Signs ``page`` in by setting a session cookie: ``sign_in(ada)``; returns the page."""
    from tests.signed_in import _open

    def sign_in(person: Person, page: Any = page) -> Any:
        token, _ = _open(shared_app, person, "", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0")
        cookie = {"name": "latchkey_session", "value": token, "url": live_server.url, "httpOnly": True}
        page.context.add_cookies([cookie | {"sameSite": "Lax"}])
        return page

    return sign_in


@pytest.fixture
def ask_for_code() -> Callable[..., None]:
    """Goes to the sign-in page and requests a code: ``ask_for_code(page, email)``."""

    def ask(page: Any, identity: str, button: str = "Send me a code") -> None:
        page.goto("/us-signin")
        page.get_by_label("Email, phone or username").fill(identity)
        page.get_by_role("button", name=button).click()
        page.get_by_label("Your code").wait_for()

    return ask
