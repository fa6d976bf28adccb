"""Encryption at rest, signed tokens, random tokens and digests, password hashes. Pure: no database, no request."""
