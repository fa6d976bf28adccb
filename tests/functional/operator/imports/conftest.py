"""Minimal exports of other products, and the people in them who sign in."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bcrypt
import pyotp
import pytest
from click.testing import Result

from tests.sinks import code_in
from tests.wire import Wire

PASSWORD = "correct horse"
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
SALT = "a salt of a whole service"
SETTINGS = pytest.mark.settings(
    methods=["email", "sms", "password", "authenticator"], second_factor="if_enrolled", imported_password_salt=SALT
)
"""What a service that takes people over has."""


def hashed(password: str = PASSWORD, prefix: bytes = b"2b") -> str:
    """Return a bcrypt hash of a password, as cheap as it can be."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4, prefix=prefix)).decode()


def json_lines(*values: object) -> str:
    """Return values as JSON lines; strings are used unchanged."""
    return "".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in values)


@pytest.fixture
def bring(operate: Callable[..., Result], tmp_path: Path) -> Callable[..., Result]:
    """Imports files: ``bring("auth0", content, "--dry-run")``; contents are text, bytes or values that become JSON.

    What begins with two dashes is an option, and what follows an option's name in a tuple its value.
    """
    numbers = itertools.count(1)

    def run(product: str, *contents: Any) -> Result:
        words = ["--from", product] if product else []
        for each in contents:
            if isinstance(each, tuple):
                words += map(str, each)
            elif isinstance(each, Path) or (isinstance(each, str) and each.startswith("--") and "\n" not in each):
                words.append(str(each))
            else:
                path = tmp_path / f"export-{next(numbers)}"
                data = each if isinstance(each, (str, bytes)) else json.dumps(each, indent=1)
                path.write_bytes(data if isinstance(data, bytes) else data.encode())
                words.append(str(path))
        return operate("users", "import", *words)

    return run


@pytest.fixture
def enter(json_wire: Wire, mail_to: Callable[[str], Any], clock: Any) -> Callable[..., str | None]:
    """Signs in, in a new browser each time, and tells as whom: by a password, or by email code without one.

    :param app: secret of an authenticator app, for a second step
    :param steps: of 30 seconds that the app is ahead: a code works once
    """

    def try_in(identity: str, password: str = "", app: str = "", steps: int = 0) -> str | None:
        browser = json_wire.elsewhere()
        if not password:
            browser.post("/us-signin/send-code", identity=identity, chosen_method="email")
            password = code_in(mail_to(identity))
        answer = browser.post("/us-signin", identity=identity, passcode=password)
        if app and answer.json.get("tf_required"):
            browser.get("/tf-validate")
            code = pyotp.TOTP(app).at(int(clock.unix()) + 30 * steps)
            browser.post("/tf-validate", code=code)
        return browser.signed_in_as()

    return try_in


@pytest.fixture
def accounts(operate: Callable[..., Result]) -> Callable[[], dict[str, dict[str, Any]]]:
    """Returns the accounts of ``flask users list``, by email address, else by phone number or username."""

    def listed() -> dict[str, dict[str, Any]]:
        found = [json.loads(line) for line in operate("users", "list", "--json").stdout.splitlines()]
        return {each["email"] or each["phone"] or each["username"]: each for each in found}

    return listed
