"""What mails about exports say. None holds a link that is a secret: one signs in and fetches it."""

from __future__ import annotations

from datetime import datetime

from app.extensions import settings
from app.kit import clock
from app.methods.letters import write
from app.outbox import Letter, Message, Text, renderer


@renderer("export_ready")
def export_ready(message: Message) -> Letter | Text | None:
    """Tell the owner of an account that their data can be fetched, and until when; nothing once that is over."""
    until = datetime.fromisoformat(message.facts["until"])
    if until <= clock.now():
        return None
    return write(message, link=f"{settings.origin}/my-data", until=until)
