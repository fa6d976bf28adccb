"""Whether mail to an address comes back: told to a browser that its account knows, and to nobody else."""

from __future__ import annotations

from app.challenges.models import Challenge
from app.client import ClientContext
from app.enrollments.catalog import method_of
from app.outbox import suppressions
from app.outbox.service import MAIL
from app.sessions.known_devices import known_as


def is_told(challenge: Challenge, client: ClientContext) -> bool:
    """Return whether this browser is told that the code of ``challenge`` will not arrive.

    No statement for a browser that no account knows, and one for a browser that this account does not: everyone else
    gets the answer that they would get for any address.
    """
    if challenge.user_id is None or not client.known_secrets or method_of(challenge.method).sends != MAIL:
        return False
    if not known_as(challenge.user_id, client.known_secrets):
        return False
    return bool(suppressions.among({challenge.destination}))
