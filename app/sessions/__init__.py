"""Who is here now: sessions, opened, found, freshened and revoked; and who was: known browsers, and failures.

Promises that a revoked session is dead at the next request, that its token is nowhere at rest, and that no failure is
forgotten before its time.
"""

from app.sessions.models import AuthSession, PersonalToken, RefreshToken, Standing

__all__ = ["AuthSession", "PersonalToken", "RefreshToken", "Standing"]
