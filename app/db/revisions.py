"""Whether the tables fit this release: missing migrations, or newer ones."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass

import sqlalchemy as sa
import structlog
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from config.settings import NOT_CONFIGURED

log = structlog.get_logger()

NUMBERED = re.compile(r"[0-9]{4,}", re.ASCII)
"""How revisions are named. They form one chain, so one with a higher number comes later."""


@dataclass(frozen=True)
class Fit:
    """How the tables of a database fit this release.

    :ivar head: the newest revision of this release
    :ivar missing: revisions of this release that the tables lack, oldest first
    :ivar newer: the revision of a newer release that the tables have, "" when there is none
    :ivar foreign: a revision that no release of ours has, "" when there is none
    """

    head: str
    missing: tuple[str, ...] = ()
    newer: str = ""
    foreign: str = ""

    @property
    def fault(self) -> str:
        """Why this release can't work with these tables; "" when it can."""
        if self.foreign:
            return f"the tables are of another program or an unknown release (revision {self.foreign})."
        if self.missing:
            plural = "" if len(self.missing) == 1 else "s"
            return f"{len(self.missing)} migration{plural} pending ({', '.join(self.missing)})."
        return ""

    @property
    def remedy(self) -> str:
        """What to do about the fault."""
        if self.foreign:
            return "Look at LATCHKEY_DATABASE_URL, or install the release that made them."
        return "Bring the database up to date: flask db upgrade"


def fit(connection: sa.Connection) -> Fit:
    """Compare the tables at ``connection`` with the migrations of this release.

    Tables of a newer release fit: a migration must leave them usable by the release before
    (docs/architecture.md, Migrations).
    """
    scripts = ScriptDirectory("migrations")
    head = scripts.get_current_head() or ""
    known = [script.revision for script in scripts.walk_revisions()]  # newest first
    reached = MigrationContext.configure(connection).get_current_revision()
    if reached is None:
        return Fit(head, missing=tuple(reversed(known)))
    if reached in known:
        return Fit(head, missing=tuple(reversed(known[: known.index(reached)])))
    if NUMBERED.fullmatch(reached) and int(reached) > int(head):
        return Fit(head, newer=reached)
    return Fit(head, foreign=reached)


def require_fit(connection: sa.Connection) -> None:
    """End this process with status 78 when its release can't work with the tables; warn when they are newer.

    The status is EX_CONFIG of sysexits.h: starting again changes nothing before a person has.
    """
    found = fit(connection)
    if found.fault:
        sys.stderr.write(f"Latchkey does not start: {found.fault} {found.remedy}\n")
        raise SystemExit(NOT_CONFIGURED)
    if found.newer:
        log.warning("database.newer_than_release", revision=found.newer, known=found.head)
