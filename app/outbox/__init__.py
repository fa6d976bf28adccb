"""What must leave: messages written with the work they tell about, sent by a worker after the commit.

Promises that no message leaves for work that was rolled back, none is lost for work that was done,
two workers never send one short of a crash, and no code, link or address is readable in queue or log.
"""

from app.outbox.channels.mail import mail_config
from app.outbox.delivery import deliver
from app.outbox.errands import errand
from app.outbox.letters import Letter, Text, TooLate, renderer
from app.outbox.models import Message
from app.outbox.sending import enqueue, enqueue_each, feeder

__all__ = [
    "Letter",
    "Message",
    "Text",
    "TooLate",
    "deliver",
    "enqueue",
    "enqueue_each",
    "errand",
    "feeder",
    "mail_config",
    "renderer",
]
