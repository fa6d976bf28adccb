"""Setting up an authenticator app in a browser."""

from __future__ import annotations

import time
from typing import Any

import pyotp


def add_app(page: Any, name: str = "") -> str:
    """Add an app on the page of sign-in methods; return its key."""
    page.goto("/us-setup")
    with page.expect_navigation():
        page.get_by_role("button", name="Add another app").click()
    uri = str(page.locator("a[href^='otpauth:']").first.get_attribute("href"))
    key = str(pyotp.parse_uri(uri).secret)
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Code from your app").fill(code_of(key))
    with page.expect_navigation():
        page.get_by_role("button", name="Confirm and add").click()
    return key


def code_of(key: str, steps: int = 0) -> str:
    """Return the code of ``key`` now, or that many steps of 30 s from now."""
    return pyotp.TOTP(key).at(int(time.time()) + 30 * steps)
