"""CSV text that spreadsheets don't interpret as a formula."""

from __future__ import annotations

import re

_FORMULA = re.compile(r"(?:^|(?<=[;\t\r\n|]))(?=[\t\r\n]|\s*[=+\-@\uff1d\uff0b\uff0d\uff20])")
"""Positions where a formula may start, with plain or full-width signs, even after whitespace (OWASP, CSV Injection).

This includes positions after a semicolon: with a decimal comma, Excel splits CSV files at semicolons, quoted or not.
Anyone who enters a user's email address can choose a browser name that ends up in such a file.
"""


def harmless(text: str) -> str:
    """Return ``text`` with an apostrophe in front of anything that could be a formula."""
    return _FORMULA.sub("'", text)
