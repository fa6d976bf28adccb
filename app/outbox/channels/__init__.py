"""Channels: email by SMTP, text messages and logout tokens by HTTP. Each tries once, within a hard time limit."""

from app.outbox.channels.attempt import Failed, Interrupted, Postponed

__all__ = ["Failed", "Interrupted", "Postponed"]
