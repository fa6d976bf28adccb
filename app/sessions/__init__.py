"""Who is here now: AuthSession rows, opened, found, freshened and revoked; and which browsers were here before.

Promises that a revoked session is dead at the next request, and that its token is nowhere at rest.
"""

from app.sessions.models import AuthSession, KnownBrowser

__all__ = ["AuthSession", "KnownBrowser"]
