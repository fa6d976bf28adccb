"""What a message says, and who knows how to say it: one renderer for each kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.outbox.models import Message


@dataclass(frozen=True)
class Letter:
    """A mail: the same said in text and in HTML."""

    subject: str
    text: str
    html: str | None = None


@dataclass(frozen=True)
class Text:
    """A text message."""

    body: str


Renderer = Callable[["Message"], Letter | Text | None]

_renderers: dict[str, Renderer] = {}


def renderer(kind: str) -> Callable[[Renderer], Renderer]:
    """Register the decorated function as the one that says what messages of ``kind`` say.

    It is called in an app context without a request, each time the message is sent, and must return the
    same words each time: a copy sent because an answer was lost must not differ. None drops the message.
    :raises ValueError: when another function says it already
    """

    def register(function: Renderer) -> Renderer:
        known = _renderers.setdefault(kind, function)
        if (known.__module__, known.__qualname__) != (function.__module__, function.__qualname__):
            raise ValueError(f"messages of kind {kind!r} are rendered by {known.__module__} already")
        _renderers[kind] = function
        return function

    return register


def render(message: Message) -> Letter | Text | None:
    """Return what ``message`` says, None when that is nothing any more. Raises KeyError for a kind without renderer."""
    return _renderers[message.kind](message)
