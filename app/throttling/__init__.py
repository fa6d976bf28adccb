"""How often: limits by network address, counted before anything is looked up.

Promises that an address we cannot read shares one strict budget, and that a limit never fails open.
"""

from app.throttling.by_ip import allow, bucket_of, is_news, penalize, stop, take

__all__ = ["allow", "bucket_of", "is_news", "penalize", "stop", "take"]
