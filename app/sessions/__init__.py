"""Sessions: created, found, refreshed and revoked; API tokens, refresh tokens, known and trusted devices.

Promises that a revoked session is dead at the next request and that its token is nowhere at rest.
"""
