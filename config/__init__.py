"""Configuration: a typed ``Settings`` object, read from ``LATCHKEY_*`` variables and validated before anything starts.

Guarantees that the value of a secret is never printed, and that unsafe production settings prevent startup.
"""
