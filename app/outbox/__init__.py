"""What must leave: messages written with the work they tell about, sent by a worker after the commit.

Promises that no message leaves for work that was rolled back, none is lost for work that was done,
two workers never send one short of a crash, and no code, link or address is readable in queue or log.
"""

from app.outbox.channels.mail import mail_config
from app.outbox.delivery import deliver
from app.outbox.jobs import job
from app.outbox.models import Message
from app.outbox.renderers import EmailMessage, Expired, TextMessage, renderer
from app.outbox.service import enqueue, enqueue_each, periodic_task

__all__ = [
    "EmailMessage",
    "Expired",
    "Message",
    "TextMessage",
    "deliver",
    "enqueue",
    "enqueue_each",
    "job",
    "mail_config",
    "periodic_task",
    "renderer",
]
