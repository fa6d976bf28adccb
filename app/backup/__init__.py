"""Backups: write one while the service runs, check it, restore it; move a database to another kind.

Promises that a backup shows one moment of the database, that nothing but a whole file gets its name, that what is
restored was compared with what was backed up, row by row, and that a restore or a move happens completely or not at
all (ADR 57).
"""
