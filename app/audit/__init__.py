"""What happened: Event rows, written in the same transaction as their effect.

Promises that an event never holds a passcode, token, link or secret.
"""

from app.audit.models import Event
from app.audit.recorder import record, record_each

__all__ = ["Event", "record", "record_each"]
