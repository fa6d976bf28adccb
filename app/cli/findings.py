"""What ``flask doctor`` has found out, as it says it."""

from __future__ import annotations

import re
from dataclasses import dataclass

FIGURES = re.compile(r"[0-9][0-9,.:\u00a0\u202f\u066c]*")
"""A number, as any language groups it."""


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One thing that was looked at.

    :ivar what: a sentence; holds no secret
    :ivar remedy: what to do about it; "" when all is well
    :ivar wrong: whether the service does not work, or not safely, until that is done
    """

    what: str
    remedy: str = ""
    wrong: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about one subject, such as the database."""

    subject: str
    check: HealthCheck

    @property
    def state(self) -> str:
        """``mend``, ``note`` or ``ok``."""
        return "mend" if self.check.wrong else "note" if self.check.remedy else "ok"

    def same_as(self) -> tuple[str, str, str]:
        """Return what is equal for two findings that differ in figures alone."""
        return self.subject, self.state, FIGURES.sub("#", self.check.what)
