"""Small things that views ask of the request and tell the next page."""

from __future__ import annotations

from typing import Any

from flask import flash, request

from app.web.respond import wants_json
from app.web.texts import sentence


def say(code: str, category: str = "success", **facts: Any) -> None:
    """Tell a browser something on its next page; a program has its answer already."""
    if not wants_json():
        flash(sentence(code, **facts), category)


def wants_token() -> bool:
    """Say whether a program asks for a token of its own (``?include_auth_token``)."""
    return "include_auth_token" in request.args
