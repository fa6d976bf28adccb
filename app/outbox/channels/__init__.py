"""Channels: email by SMTP, text messages by HTTP. Each tries once, within a hard time limit."""

from app.outbox.channels.attempt import Failed, Interrupted, Postponed

__all__ = ["Failed", "Interrupted", "Postponed"]
