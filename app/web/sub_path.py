"""Latchkey below a path of a host, as ``LATCHKEY_PUBLIC_URL=https://example.com/auth`` asks for it.

Inside, every path is the app's own, "/us-signin". What comes in loses the prefix, whether or not the proxy has taken
it away, and what goes out gets it: redirects, and the addresses in pages. Paths in JSON stay below the public address.
Nothing of this is there without such an address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from flask import Response

from app.extensions import settings
from app.web.headers import is_answered_elsewhere
from config.problems import ConfigurationError, path_of_ours

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from flask import Flask

WELL_KNOWN: Final = "/.well-known/"
ATTRIBUTES: Final = (
    "href", "action", "formaction", "src", "srcset",
    "data-address", "data-passkey-path", "data-refresh-from", "data-waiting",
)  # fmt: skip
"""What holds an address in our pages. A quote in a text or a value is escaped, so what looks like one is one."""


class WithoutPrefix:
    """The application, with the prefix moved from a request's path to SCRIPT_NAME (PEP 3333)."""

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
    """Return the app's own path of one that may have the prefix, as a proxy passes it on, or not.

    RFC 8414 (3.1) puts an issuer's path behind the name of its document at the root of the host:
    ``/.well-known/oauth-authorization-server/auth``.
    """
    if path.startswith(WELL_KNOWN):
        return path.removesuffix(prefix)
    if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/", "?", "#"):
        rest = path[len(prefix) :]
        return rest if rest.startswith("/") else f"/{rest}"
    return path


def init_app(app: Flask) -> None:
    """Serve ``app`` below the path of its public address, if that has one."""
    prefix: str = app.extensions["latchkey.settings"].sub_path
    if not prefix:
        return
    app.wsgi_app = WithoutPrefix(app.wsgi_app, prefix)  # type: ignore[method-assign]
    app.after_request(add_prefix)


def refuse_ambiguous(app: Flask) -> None:
    """Refuse a prefix that begins as a path of the app does: it could be either, where the proxy takes it away.

    :raises ConfigurationError: when it does
    """
    first = app.extensions["latchkey.settings"].sub_path[1:].partition("/")[0]
    if first and any(rule.rule[1:].partition("/")[0] == first for rule in app.url_map.iter_rules()):
        raise ConfigurationError([path_of_ours(first)])


def add_prefix(response: Response) -> Response:
    """Have redirects and pages lead below the prefix (an ``after_request`` function)."""
    if is_answered_elsewhere():  # at the host of a protected app, where all paths are that app's
        return response
    prefix = settings.sub_path
    target = response.headers.get("Location", "")
    if target.startswith("/") and not target.startswith("//"):
        response.headers["Location"] = prefix + path_below(target, prefix)
    if response.mimetype == "text/html" and not response.is_streamed:
        response.set_data(_addresses(prefix).sub(rf"\g<0>{prefix}", response.get_data(as_text=True)))
    return response


def _addresses(prefix: str) -> re.Pattern[str]:
    """Return what stands before each path in a page that has no prefix yet; ``re`` keeps it compiled."""
    names, unprefixed = "|".join(ATTRIBUTES), rf"(?=/(?!/))(?!{re.escape(prefix)}[/?#\"])"
    return re.compile(rf'\s(?:(?:{names})="|content="\d+; ?url=){unprefixed}')
