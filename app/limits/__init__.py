"""How often: limits by network address, counted before anything is looked up.

Promises that an address we cannot read shares one strict budget, and that a limit never fails open.
"""

from app.limits.address import allow, is_news, penalize, take

__all__ = ["allow", "is_news", "penalize", "take"]
