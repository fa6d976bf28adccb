"""Findings of ``flask doctor``."""

from __future__ import annotations

import re
from dataclasses import dataclass

FIGURES = re.compile(r"[0-9][0-9,.:\u00a0\u202f\u066c]*")
"""A number with any language's digit grouping."""


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """Result of a check.

    :ivar what: a sentence without secrets
    :ivar remedy: how to fix it; "" when everything is fine
    :ivar wrong: the service doesn't work, or isn't safe, until it is fixed
    """

    what: str
    remedy: str = ""
    wrong: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check of one subject, such as the database."""

    subject: str
    check: HealthCheck

    @property
    def state(self) -> str:
        """``mend``, ``note`` or ``ok``."""
        return "mend" if self.check.wrong else "note" if self.check.remedy else "ok"

    def same_as(self) -> tuple[str, str, str]:
        """Return a key that is equal for findings that differ only in numbers."""
        return self.subject, self.state, FIGURES.sub("#", self.check.what)
