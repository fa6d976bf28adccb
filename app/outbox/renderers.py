"""What a message says, and who knows how to say it: one renderer for each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.outbox.service import CHANNELS

if TYPE_CHECKING:
    from app.outbox.models import Message


@dataclass(frozen=True)
class EmailMessage:
    """A mail: the same said in text and in HTML."""

    subject: str
    text: str
    html: str | None = None


@dataclass(frozen=True)
class TextMessage:
    """A text message."""

    body: str


class Expired(Exception):
    """What a message would say is over by now: it is given up rather than sent."""


Renderer = Callable[..., EmailMessage | TextMessage | None]
Reader = Callable[["Sequence[Message]"], Mapping[str, Any]]

_renderers: dict[str, Renderer] = {}
_readers: dict[str, Reader] = {}


def renderer(kind: str, reads: Reader | None = None) -> Callable[[Renderer], Renderer]:
    """Register the decorated function as the one that says what messages of ``kind`` say.

    It is called in an app context without a request, each time the message is sent, and must return the
    same words each time: a copy sent because an answer was lost must not differ. None drops the message, and Expired
    gives it up.
    :param reads: reads from the database what some messages tell about, all of them in one statement, and returns
        that by message id; the renderer is given its part, or None, as second argument and asks for nothing itself
    :raises ValueError: when another function says it already
    """

    def register(function: Renderer) -> Renderer:
        known = _renderers.setdefault(kind, function)
        if (known.__module__, known.__qualname__) != (function.__module__, function.__qualname__):
            raise ValueError(f"messages of kind {kind!r} are rendered by {known.__module__} already")
        _renderers[kind] = function
        if reads is not None:
            _readers[kind] = reads
        return function

    return register


def is_known(message: Message) -> bool:
    """Say whether this release can send it: a newer one beside it may write kinds, or use channels, that are new."""
    return message.kind in _renderers and message.channel in CHANNELS


def read(messages: Iterable[Message]) -> dict[str, Any]:
    """Return by message id what these messages tell about: one statement for each reader, not for each message."""
    wanted: dict[Reader, list[Message]] = {}
    for message in messages:
        if message.kind in _readers:
            wanted.setdefault(_readers[message.kind], []).append(message)
    return {its_id: found for reader, some in wanted.items() for its_id, found in reader(some).items()}


def render(message: Message, known: Mapping[str, Any]) -> EmailMessage | TextMessage | None:
    """Return what ``message`` says, None when that is nothing any more. Raises KeyError for a kind without renderer.

    :param known: from ``read``, for this message among others
    """
    say = _renderers[message.kind]
    return say(message, known.get(message.id)) if message.kind in _readers else say(message)
