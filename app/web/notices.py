"""Flash messages, and whether a client wants a token."""

from __future__ import annotations

from typing import Any, Literal

from flask import flash

from app.extensions import request
from app.web.messages import message
from app.web.respond import wants_json

Wanted = Literal["", "access", "refresh"]
"""Tokens that a program asks for with its sign-in: none, an access token, or a refresh token too."""


def say(code: str, category: str = "success", **facts: Any) -> None:
    """Tell a browser something on its next page; a program has its answer already."""
    if not wants_json():
        flash(message(code, **facts), category)


def wants_token() -> Wanted:
    """Return which tokens a program asks for (``?include_auth_token``, and ``&include_refresh_token``)."""
    if "include_auth_token" not in request.args:
        return ""
    return "refresh" if "include_refresh_token" in request.args and wants_json() else "access"
