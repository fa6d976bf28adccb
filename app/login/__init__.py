"""The pipeline that every sign-in goes through: look up, verify, second factor, open a session.

Guarantees that every sign-in ends in one place, and that known and unknown people cost the same work.
"""
