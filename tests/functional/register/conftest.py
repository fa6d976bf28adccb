"""The steps of creating an account."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.sinks import code_in, link_in
from tests.wire import Wire


@pytest.fixture
def register(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Asks for an account: ``register("ada@example.com", by=other_browser)``."""

    def ask(email: str = "ada@example.com", *, by: Wire | None = None, **more: Any) -> Any:
        return (by or request.getfixturevalue("wire")).post("/register", email=email, **more)

    return ask


@pytest.fixture
def mailed_code(mail_to: Callable[[str], Any]) -> Callable[..., str]:
    """Returns the code of the newest mail: ``mailed_code()``."""
    return lambda email="ada@example.com": code_in(mail_to(email))


@pytest.fixture
def mailed_link(mail_to: Callable[[str], Any]) -> Callable[..., str]:
    """Returns the path of the link in the newest mail: ``mailed_link()``."""
    return lambda email="ada@example.com": link_in(mail_to(email), "/confirm/").removeprefix("http://localhost")
