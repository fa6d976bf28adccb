"""What an operator types, and what comes back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import Result
from flask import Flask

from tests.databases import KEY

OLD_KEY, NEW_KEY = KEY, "for-tests-alone-too-9c2e5d71a8f04b36b7d0c3e1f6a59824"


@pytest.fixture
def operate(app: Flask) -> Callable[..., Result]:
    """Types a command: ``operate("users", "list")``; ``on=`` another application, ``stdin=`` what it reads."""

    def run(*words: str, on: Flask | None = None, stdin: bytes | str | None = None) -> Result:
        return (on or app).test_cli_runner().invoke(args=words, input=stdin)

    return run


@pytest.fixture
def rotating_app(app: Flask, make_app: Callable[..., Flask]) -> Flask:
    """The application after its operator put a new key before the old one."""
    return make_app(secret_keys=f"{NEW_KEY},{OLD_KEY}")


@pytest.fixture
def new_key_app(app: Flask, make_app: Callable[..., Flask]) -> Flask:
    """The application after its operator took the old key away."""
    return make_app(secret_keys=NEW_KEY)
