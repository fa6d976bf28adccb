"""The cookies of a request, as browsers send them (RFC 6265, 5.4).

Werkzeug takes a quoted value for one string, semicolons included, and decodes the whole header as UTF-8. Browsers do
neither: a cookie of another application on the same host, ``a="b`` or one with stray bytes, would take ours with it.
"""

from __future__ import annotations

from collections.abc import Iterator

from flask import Request
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.utils import cached_property


class CookieRequest(Request):
    """A request whose cookies are read one by one, whatever stands in the others."""

    @cached_property
    def cookies(self) -> ImmutableMultiDict[str, str]:
        """The cookies by name; of several with one name the first, which has the longest path."""
        return ImmutableMultiDict(read_cookies(self.environ.get("HTTP_COOKIE", "")))


def read_cookies(header: str) -> Iterator[tuple[str, str]]:
    """Yield the names and values of a Cookie header."""
    for pair in header.split(";"):
        name, equals, value = pair.partition("=")
        if equals:
            yield name.strip(" \t"), value.strip(" \t")
