"""Registration settings: who may create an account, with which email domains, and whether with a phone number."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field

from config import types
from config.apps import Hosts, check_host_or_subdomains
from config.files import KIB, read_text

MAX_LIST_BYTES = 16 * KIB * KIB
"""Maximum size in bytes of a domain list. Public lists of disposable domains have 1 to 3 MiB."""

Mode = Literal["open", "invite", "domains", "off"]
_SWITCH = {"on": "open", "true": "open", "yes": "open", "1": "open", "y": "open", "t": "open",
           "false": "off", "no": "off", "0": "off", "n": "off", "f": "off"}  # fmt: skip


def read_mode(value: Any) -> Any:
    """Read on and off, formerly the only values of this setting, as ``open`` and ``off``."""
    if isinstance(value, bool):
        return "open" if value else "off"
    return _SWITCH.get(types.lower(value), types.lower(value)) if isinstance(value, str) else value


def read_domains(path: str) -> frozenset[str]:
    """Return the domains listed in a file, in lower case and A-labels. One per line; ``#`` starts a comment.

    :raises ValueError: when it is unreadable or a line isn't a domain; names the line
    """
    found = set()
    for number, line in enumerate(read_text(path, MAX_LIST_BYTES).splitlines(), 1):
        if text := line.partition("#")[0].strip():
            try:
                found.add(check_host_or_subdomains(text))
            except ValueError:
                raise ValueError(f"has an invalid domain in line {number}") from None
    return frozenset(found)


class RegistrationSettings(BaseModel, defer_build=True):
    """Who may create an account."""

    registration: Annotated[Mode, BeforeValidator(read_mode)] = Field(
        default="open", description="Who can create an account without an administrator."
    )
    registration_domains: Hosts = Field(
        default=(),
        description="Email domains that can register with `domains`; `*.example.com` stands for its subdomains.",
    )
    registration_denied_domains: Hosts = Field(
        default=(),
        description="Email domains, including their subdomains, that can't be used for an account.",
    )
    disposable_domains_file: str = Field(
        default="", description="Path of a file with more denied domains, one per line; if empty, none."
    )

    registration_by_phone: bool = Field(
        default=False,
        description="Whether an account can be created with only a phone number. Each text message costs money.",
    )

    @property
    def can_register(self) -> bool:
        """People can create an account without an invitation."""
        return self.registration in ("open", "domains")
