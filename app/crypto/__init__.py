"""Encryption at rest, signed tokens, random tokens, digests and password hashes. Uses no database and no request."""
