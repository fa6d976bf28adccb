"""How tests type codes."""

from __future__ import annotations

from playwright.sync_api import Page


def type_code(page: Page, code: str) -> None:
    """Type a code and leave it to the test to press the button; by itself the page sends it with its last digit."""
    field = page.get_by_label("Your code")
    field.evaluate("control => control.removeAttribute('data-submit-at')")
    field.fill(code)
