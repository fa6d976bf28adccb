"""The ways out: mail by SMTP, text messages by HTTP. Each tries once, within a hard time, and says how it went."""

from app.outbox.channels.failures import Failed, Interrupted, Postponed

__all__ = ["Failed", "Interrupted", "Postponed"]
