"""Entering codes on a page."""

from __future__ import annotations

from playwright.sync_api import Page


def type_code(page: Page, code: str) -> None:
    """Type a code without submitting it, which the page would do with the last digit."""
    field = page.get_by_label("Your code")
    field.evaluate("control => control.removeAttribute('data-submit-at')")
    field.fill(code)
