"""Renderers: what each kind of message says."""

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
    """A mail: the same said in text and in HTML."""

    subject: str
    text: str
    html: str | None = None


@dataclass(frozen=True)
class TextMessage:
    """A text message."""

    body: str


@dataclass(frozen=True)
class LogoutMessage:
    """What is posted to an app when a session ends (OpenID Connect Back-Channel Logout 1.0, section 2.5).

    :ivar public_only: whether a stranger named the address, so that nothing in a private network may be reached by it
    """

    url: str
    token: str = field(repr=False)
    public_only: bool = False


Content = EmailMessage | TextMessage | LogoutMessage


class Expired(Exception):
    """What a message would say is over by now: it is given up rather than sent."""


Renderer = Callable[..., Content | None]
Reader = Callable[["Sequence[Message]"], Mapping[str, Any]]

_REGISTERED = "latchkey.renderers"


def register_renderers(app: Flask, renderers: Mapping[str, Renderer], *, reads: Reader | None = None) -> None:
    """Register which function says what messages of each kind say.

    It is called in an app context without a request, each time the message is sent, and must return the same words
    each time: a copy sent because an answer was lost must not differ. A logout token alone is new each time. None drops
    the message, and Expired gives it up.
    :param reads: reads from the database what some messages are about, all of them in one statement, and returns
        that by message id; the renderer is given its part, or None, as second argument and asks for nothing itself
    :raises ValueError: when a kind has a renderer already
    """
    registered = app.extensions.setdefault(_REGISTERED, {})
    if taken := registered.keys() & renderers.keys():
        raise ValueError(f"messages of kind {', '.join(sorted(taken))} have a renderer already")
    registered |= {kind: (renderer, reads) for kind, renderer in renderers.items()}


def _of(kind: str) -> tuple[Renderer, Reader | None]:
    found: tuple[Renderer, Reader | None] = this_app().extensions[_REGISTERED][kind]
    return found


def is_known(message: Message) -> bool:
    """Say whether this release can send it: a newer one beside it may write kinds, or use channels, that are new."""
    return message.kind in this_app().extensions[_REGISTERED] and message.channel in CHANNELS


def read(messages: Iterable[Message]) -> dict[str, Any]:
    """Return by message id what these messages are about: one statement for each reader, not for each message."""
    wanted: dict[Reader, list[Message]] = {}
    known = this_app().extensions[_REGISTERED]
    for message in messages:
        reader = known[message.kind][1] if message.kind in known else None
        if reader is not None:
            wanted.setdefault(reader, []).append(message)
    return {its_id: found for reader, some in wanted.items() for its_id, found in reader(some).items()}


def render(message: Message, known: Mapping[str, Any]) -> Content | None:
    """Return what ``message`` says, None when that is nothing any more. Raises KeyError for a kind without renderer.

    :param known: from ``read``, for this message among others
    """
    say, reader = _of(message.kind)
    with i18n.speaking(message.language):
        return say(message, known.get(message.id)) if reader is not None else say(message)
