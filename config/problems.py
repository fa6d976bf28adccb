"""What is wrong with the settings, said so that an operator can mend it."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from pydantic import ValidationError

PREFIX = "LATCHKEY_"

NOT_CONFIGURED = 78
"""Status of a process that can't start with its settings (EX_CONFIG of sysexits.h)."""


@dataclass(frozen=True)
class Problem:
    """One thing to mend: the variable's name, what is wrong with it (never its value), and what to do."""

    setting: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.setting} {self.what}. {self.remedy}"


class ConfigurationError(Exception):
    """The settings can't be used. ``problems`` lists every reason found, in the order they were found."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))

    def exit(self) -> NoReturn:
        """Say on standard error what to mend, and end the process with status 78.

        The status is EX_CONFIG of sysexits.h: starting again changes nothing before a person has.
        """
        sys.stderr.write(f"Latchkey does not start with these settings:\n{self}\n")
        raise SystemExit(NOT_CONFIGURED)


def variable(field: str) -> str:
    """Return the environment variable that holds a field of Settings."""
    return PREFIX + field.upper()


def path_of_ours(first: str) -> Problem:
    """Return what is wrong with a public address whose path begins as one of the service's own addresses."""
    what = f"has a path that begins with /{first}, as addresses of Latchkey itself do"
    return Problem(variable("public_url"), what, "Choose another one, as /auth or /sso.")


def from_validation(error: "ValidationError") -> list[Problem]:
    """Turn what the types refused into problems, without the refused values."""
    found: dict[str, Problem] = {}
    for detail in error.errors(include_url=False, include_input=False, include_context=False):
        if detail["type"] == "default_factory_not_called":  # follows from another problem
            continue
        name = variable(str(detail["loc"][0])) if detail["loc"] else PREFIX + "*"
        what = detail["msg"].removeprefix("Value error, ").replace("datetime.timedelta(0)", "0")
        what = f"is not usable: {what[:1].lower()}{what[1:]}"
        found.setdefault(name, Problem(name, what, "Mend it; docs/settings.md says what it takes."))
    return list(found.values())
