"""Ways to prove who you are: challenges, passcodes, links, authenticators and passwords.

Promises that a proof is good once, only for its own purpose and method, and only where it was asked for.
"""

from app.methods.models import Challenge, EnrolledMethod, Passkey
from app.methods.registry import REGISTRY, Method

__all__ = ["REGISTRY", "Challenge", "EnrolledMethod", "Method", "Passkey"]
