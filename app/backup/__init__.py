"""Backups: create one while the service runs, verify it, restore it, or move the database to another engine.

Guarantees that a backup is a consistent snapshot, that a file gets its final name only once it is complete, that
restored rows are compared with the backed-up ones, and that a restore or move happens completely or not at all (ADR
57).
"""
