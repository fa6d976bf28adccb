"""Renderers: functions that produce the content of each kind of message."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app import i18n
from app.extensions import this_app
from app.outbox.service import CHANNELS

if TYPE_CHECKING:
    from flask import Flask

    from app.outbox.models import Message


@dataclass(frozen=True)
class EmailMessage:
    """Content of an email, as text and optionally HTML."""

    subject: str
    text: str
    html: str | None = None


@dataclass(frozen=True)
class TextMessage:
    """Content of a text message."""

    body: str


@dataclass(frozen=True)
class LogoutMessage:
    """Logout token posted to an app when a session ends (OpenID Connect Back-Channel Logout 1.0, section 2.5).

    :ivar public_only: whether the URL comes from an untrusted party and must not reach a private network
    """

    url: str
    token: str = field(repr=False)
    public_only: bool = False


Content = EmailMessage | TextMessage | LogoutMessage


class Expired(Exception):
    """The content of a message is no longer valid. The message is abandoned instead of sent."""


Renderer = Callable[..., Content | None]
Reader = Callable[["Sequence[Message]"], Mapping[str, Any]]

_REGISTERED = "latchkey.renderers"


def register_renderers(app: Flask, renderers: Mapping[str, Renderer], *, reads: Reader | None = None) -> None:
    """Register the function that renders each kind of message.

    A renderer is called in an app context without a request, on each attempt to send the message. It must return the
    same content every time, because a copy sent after a lost response must not differ. Only logout tokens are new each
    time. Returning None drops the message, and raising Expired abandons it.

    :param reads: loads the data of several messages in one statement, and returns it by message id; the renderer gets
        its message's data, or None, as second argument and runs no queries itself
    :raises ValueError: when a kind already has a renderer
    """
    registered = app.extensions.setdefault(_REGISTERED, {})
    if taken := registered.keys() & renderers.keys():
        raise ValueError(f"messages of kind {', '.join(sorted(taken))} have a renderer already")
    registered |= {kind: (renderer, reads) for kind, renderer in renderers.items()}


def _registration(kind: str) -> tuple[Renderer, Reader | None]:
    found: tuple[Renderer, Reader | None] = this_app().extensions[_REGISTERED][kind]
    return found


def is_known(message: Message) -> bool:
    """Return whether this release can send a message.

    A newer release running alongside may enqueue kinds and channels that this one doesn't know.
    """
    return message.kind in this_app().extensions[_REGISTERED] and message.channel in CHANNELS


def read(messages: Iterable[Message]) -> dict[str, Any]:
    """Return the data of these messages by message id, with one statement per reader rather than per message."""
    by_reader: dict[Reader, list[Message]] = {}
    known = this_app().extensions[_REGISTERED]
    for message in messages:
        reader = known[message.kind][1] if message.kind in known else None
        if reader is not None:
            by_reader.setdefault(reader, []).append(message)
    return {message_id: found for reader, batch in by_reader.items() for message_id, found in reader(batch).items()}


def render(message: Message, known: Mapping[str, Any]) -> Content | None:
    """Return the content of ``message``; None if it should no longer be sent. Raises KeyError for an unknown kind.

    :param known: result of ``read`` for messages including this one
    """
    renderer, reader = _registration(message.kind)
    with i18n.use_language(message.language):
        return renderer(message, known.get(message.id)) if reader is not None else renderer(message)
