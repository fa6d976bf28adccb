"""Who is here now: AuthSession rows, opened, found, freshened and revoked.

Promises that a revoked session is dead at the next request, and that its token is nowhere at rest.
"""

from app.sessions.models import AuthSession

__all__ = ["AuthSession"]
