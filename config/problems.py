"""Problems with the settings, worded so that an operator can fix them."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from pydantic import ValidationError

PREFIX = "LATCHKEY_"

NOT_CONFIGURED = 78
"""Exit status of a process whose settings prevent it from starting (EX_CONFIG of sysexits.h)."""


@dataclass(frozen=True)
class Problem:
    """A problem to fix: the variable's name, what is wrong with it (never its value), and what to do."""

    setting: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.setting} {self.what}. {self.remedy}"


class ConfigurationError(Exception):
    """The settings can't be used. ``problems`` lists all reasons in the order they were found."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))

    def exit(self) -> NoReturn:
        """Print the problems to standard error and exit with status 78.

        The status is EX_CONFIG of sysexits.h: restarting won't help until a person has fixed the settings.
        """
        sys.stderr.write(f"Latchkey does not start with these settings:\n{self}\n")
        raise SystemExit(NOT_CONFIGURED)


def variable(field: str) -> str:
    """Return the environment variable that holds a field of Settings."""
    return PREFIX + field.upper()


def path_of_ours(first: str) -> Problem:
    """Return the problem of a public URL whose path begins like one of the service's own routes."""
    what = f"has a path that begins with /{first}, like Latchkey's own addresses"
    return Problem(variable("public_url"), what, "Choose another one, such as /auth or /sso.")


def from_validation(error: "ValidationError") -> list[Problem]:
    """Convert pydantic's validation errors to problems, without the rejected values."""
    found: dict[str, Problem] = {}
    for detail in error.errors(include_url=False, include_input=False, include_context=False):
        if detail["type"] == "default_factory_not_called":  # follows from another problem
            continue
        name = variable(str(detail["loc"][0])) if detail["loc"] else PREFIX + "*"
        what = detail["msg"].removeprefix("Value error, ").replace("datetime.timedelta(0)", "0")
        what = f"is invalid: {what[:1].lower()}{what[1:]}"
        found.setdefault(name, Problem(name, what, "Fix it: docs/settings.md describes the valid values."))
    return list(found.values())
