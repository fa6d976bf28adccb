"""Mail senders: a name and an address in any common notation, normalized to one (RFC 5322)."""

import re
from typing import Annotated

from pydantic import AfterValidator

FORM = re.compile(r'(?:(?P<name>"(?:[^"\\]|\\.)*"|[^<>"\\]*)\s*<(?P<address>[^<>]*)>|(?P<alone>[^<>"]*))')
UNPRINTED = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
LOCAL = re.compile(r"(?=.{1,64}\Z)[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII)
LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
DOMAIN = re.compile(rf"(?=.{{1,253}}\Z){LABEL}(\.{LABEL})*", re.ASCII | re.IGNORECASE)


def split_sender(text: str) -> tuple[str, str]:
    """Return a sender's name ("" for none) and address, with the domain in ASCII (RFC 5890).

    The name may be in double quotes or not, whatever it contains: `Acme, Inc. <no-reply@acme.example>`.

    :raises ValueError: when it isn't exactly one address
    """
    if UNPRINTED.search(text):
        raise ValueError("a sender can't have line breaks or control characters")
    form = FORM.fullmatch(text.strip())
    if form is None:
        raise ValueError(
            "a sender must be an address or Name <address>; quotes must be in pairs, around the whole name"
        )
    if form["alone"] is not None:
        return "", read_address(form["alone"])
    name = form["name"].strip()
    if name.startswith('"'):
        name = re.sub(r"\\(.)", r"\1", name[1:-1]).strip()
    elif re.search(r"@.*[,;]", name):
        raise ValueError("a sender must be one address; put its name into double quotes if it has an @ and a comma")
    return name, read_address(form["address"])


def read_address(text: str) -> str:
    """Return an address that every mail server accepts. Raises ValueError."""
    local, at, domain = text.rpartition("@")
    if not at or not LOCAL.fullmatch(local):
        raise ValueError(
            "a sender's address must have one @, and only ASCII letters, digits, dots and dashes before it"
        )
    if not domain.isascii():
        domain = ascii_domain(domain)
    if not DOMAIN.fullmatch(domain):
        raise ValueError("the domain of the address is not a host name")
    return f"{local}@{domain}"


def ascii_domain(domain: str) -> str:
    """Return an internationalized domain name in its ASCII form, "" when it is invalid."""
    from email_validator import EmailNotValidError, validate_email  # slow to import because of its tables

    try:
        return validate_email(f"a@{domain}", check_deliverability=False, test_environment=True).ascii_domain
    except EmailNotValidError:
        return ""


def check_sender(text: str) -> str:
    """Return a sender with its name in quotes, so that ``split_sender`` can parse it again. Raises ValueError."""
    return written(*split_sender(text))


def written(name: str, address: str) -> str:
    """Format a sender with its name in quotes, or only its address if there is no name."""
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" <{address}>' if name else address


def read_optional_address(text: str) -> str:
    """Return an address like ``read_address``; "" stays ""."""
    return read_address(text) if text else ""


Sender = Annotated[str, AfterValidator(check_sender)]
OptionalAddress = Annotated[str, AfterValidator(read_optional_address)]
