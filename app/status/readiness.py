"""Whether this process can serve requests: the database takes writes, and its tables and keys fit."""

from __future__ import annotations

import time

import structlog

from app.authenticators.keys import keys_in_use
from app.db import readiness, refuse_unless_writable
from app.extensions import db, keyring, this_app

log = structlog.get_logger()

LOOK_EVERY = 5.0
"""Seconds for which tables and keys that fit are not looked at again; what does not fit is, each time."""

_FITS = "latchkey.fits_until"


def unready() -> str:
    """Return why this process can't serve requests, in a word for the log; "" when it can."""
    try:
        refuse_unless_writable(db.session.connection())
        why = misfit()
    except Exception as error:
        log.warning("readiness.failed", why="database", error=type(error).__name__)
        return "database"
    if why:
        log.warning("readiness.failed", why=why, remedy="flask doctor says what to do")
    return why


def misfit() -> str:
    """Return ``schema`` when migrations of ours are missing, ``keys`` when a key is; "" when all is there.

    Tables of a newer release fit (docs/architecture.md, Migrations).
    """
    known = this_app().extensions
    if time.monotonic() < known.get(_FITS, 0.0):
        return ""
    with db.engine.connect() as connection:
        if readiness.fit(connection).fault:
            return "schema"
    if keys_in_use().difference(keyring.kids):
        return "keys"
    known[_FITS] = time.monotonic() + LOOK_EVERY
    return ""
