"""Encryption at rest, random tokens and digests, password hashing, prefixed tokens. Pure: no database, no request."""
