"""Channels: email over SMTP, text messages and logout tokens over HTTP. Each makes one attempt with a hard deadline."""

from app.outbox.channels.attempt import Failed, Interrupted, Postponed

__all__ = ["Failed", "Interrupted", "Postponed"]
