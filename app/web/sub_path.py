"""Serve Latchkey below a path of a host, as in ``LATCHKEY_PUBLIC_URL=https://example.com/auth``.

Inside the application every path is relative to the prefix: "/us-signin". Incoming requests lose the prefix, whether or
not the proxy has already stripped it. Redirects and links in pages get it back. Paths in JSON stay relative to the
public URL. None of this is active without a path in the public URL.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from flask import Response

from app.extensions import settings
from app.web.headers import is_for_other_host
from config.problems import ConfigurationError, path_of_ours

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from flask import Flask

WELL_KNOWN: Final = "/.well-known/"
ATTRIBUTES: Final = (
    "href", "action", "formaction", "src", "srcset",
    "data-address", "data-passkey-path", "data-refresh-from", "data-waiting",
)  # fmt: skip
"""Attributes that hold URLs in our pages. Quotes in text and values are escaped, so matches are real attributes."""


class WithoutPrefix:
    """WSGI middleware that moves the prefix from the request's path to SCRIPT_NAME (PEP 3333)."""

    def __init__(self, application: WSGIApplication, prefix: str) -> None:
        self.application = application
        self.prefix = prefix

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["SCRIPT_NAME"] = self.prefix
        environ["PATH_INFO"] = path_below(environ.get("PATH_INFO", ""), self.prefix)
        if "RAW_URI" in environ:
            environ["RAW_URI"] = path_below(environ["RAW_URI"], self.prefix)
        return self.application(environ, start_response)


def path_below(path: str, prefix: str) -> str:
    """Strip the prefix from a path, if present: a proxy may pass it on or not.

    RFC 8414 (3.1) inserts the well-known segment before the issuer's path, at the root of the host:
    ``/.well-known/oauth-authorization-server/auth``.
    """
    if path.startswith(WELL_KNOWN):
        return path.removesuffix(prefix)
    if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/", "?", "#"):
        rest = path[len(prefix) :]
        return rest if rest.startswith("/") else f"/{rest}"
    return path


def init_app(app: Flask) -> None:
    """Serve ``app`` below the path of its public URL, if it has one."""
    prefix: str = app.extensions["latchkey.settings"].sub_path
    if not prefix:
        return
    app.wsgi_app = WithoutPrefix(app.wsgi_app, prefix)  # type: ignore[method-assign]
    app.after_request(add_prefix)


def reject_ambiguous_prefix(app: Flask) -> None:
    """Reject a prefix whose first segment is also one of the app's: a proxy that strips it makes the two ambiguous.

    :raises ConfigurationError: if the prefix is ambiguous
    """
    first = app.extensions["latchkey.settings"].sub_path[1:].partition("/")[0]
    if first and any(rule.rule[1:].partition("/")[0] == first for rule in app.url_map.iter_rules()):
        raise ConfigurationError([path_of_ours(first)])


def add_prefix(response: Response) -> Response:
    """Add the prefix to redirects and to links in pages (an ``after_request`` function)."""
    if is_for_other_host():  # on a protected app's host, where all paths belong to that app
        return response
    prefix = settings.sub_path
    target = response.headers.get("Location", "")
    if target.startswith("/") and not target.startswith("//"):
        response.headers["Location"] = prefix + path_below(target, prefix)
    if response.mimetype == "text/html" and not response.is_streamed:
        response.set_data(_addresses(prefix).sub(rf"\g<0>{prefix}", response.get_data(as_text=True)))
    return response


def _addresses(prefix: str) -> re.Pattern[str]:
    """Return a pattern for the text before each unprefixed path in a page; ``re`` caches the compiled pattern."""
    names, unprefixed = "|".join(ATTRIBUTES), rf"(?=/(?!/))(?!{re.escape(prefix)}[/?#\"])"
    return re.compile(rf'\s(?:(?:{names})="|content="\d+; ?url=){unprefixed}')
