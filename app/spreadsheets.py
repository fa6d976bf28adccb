"""Text in CSV that no spreadsheet takes for a formula."""

from __future__ import annotations

import re

_FORMULA = re.compile(r"(?:^|(?<=[;\t\r\n|]))(?=[\t\r\n]|\s*[=+\-@\uff1d\uff0b\uff0d\uff20])")
"""What begins a formula in a spreadsheet, plain or full-width, and behind blanks (OWASP, CSV Injection).

After a semicolon, too: where the decimal sign is a comma, Excel splits these files at semicolons, quoted or not.
Anyone who types a user's email chooses a browser name that ends up in such a file.
"""


def harmless(text: str) -> str:
    """Return ``text`` with an apostrophe before whatever would be a formula."""
    return _FORMULA.sub("'", text)
