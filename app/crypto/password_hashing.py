"""Password hashing with argon2id, for passwords and recovery codes (ASVS 11.4.2)."""

from __future__ import annotations

from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError


@lru_cache(maxsize=1)
def _hasher() -> PasswordHasher:
    """argon2id with 19 MiB, two passes, one lane (OWASP's first recommendation)."""
    return PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)


@lru_cache(maxsize=1)
def nobodys_hash() -> str:
    """Return a hash to compare with where there is none, so that it takes as long."""
    return slow_hash("a password that nobody has")


def slow_hash(text: str) -> str:
    """Return the argon2id hash of ``text``, in the PHC string form."""
    return _hasher().hash(text)


def is_hash_of(kept: str, text: str | bytes) -> bool:
    """Say whether ``kept`` is a hash of ``text``; False also for what is no hash."""
    try:
        _hasher().verify(kept, text)
    except (Argon2Error, InvalidHashError):
        return False
    return True
