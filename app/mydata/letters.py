"""What mails about exports and deletions say. None holds a link that signs in or fetches anything."""

from __future__ import annotations

from datetime import datetime

from app.extensions import settings
from app.kit import clock
from app.methods.letters import write
from app.methods.notices import notices_leaving
from app.mydata.undo_links import undo_link
from app.outbox import Letter, Message, Text, renderer


@renderer("export_ready")
def export_ready(message: Message) -> Letter | Text | None:
    """Tell the owner of an account that their data can be fetched, and until when; nothing once that is over."""
    until = datetime.fromisoformat(message.facts["until"])
    if until <= clock.now():
        return None
    return write(message, link=f"{settings.origin}/my-data", until=until)


@renderer("deletion_requested", reads=notices_leaving)
@renderer("deletion_reminder", reads=notices_leaving)
def deletion(message: Message, leaves: bool | None) -> Letter | Text | None:
    """Tell the owner of an account that it is closed and when it will be erased, and give the link that keeps it."""
    deletes_at = datetime.fromisoformat(message.facts["deletes_at"])
    if not leaves or deletes_at <= clock.now():
        return None
    link = undo_link(message.facts["handle"], deletes_at)
    return write(message, link=link, deletes_at=deletes_at, by=message.facts["by"])
