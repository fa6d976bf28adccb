"""Emails, phone numbers and usernames: parsed into one canonical form each.

Look-alike characters are folded first (Unicode NFKC), invisible ones dropped, and the outcome is checked, never
the other way round: otherwise "K" (U+212A, KELVIN SIGN) would be a second Karl. Addresses are copied from mails, cards
and links: white space and quotes around them, ``mailto:``, ``tel:``, ``sms:``, a name before ``<ada@example.com>`` and
a final dot of the domain are dropped as well. An account is unique by what these functions return, and mail goes to
that, not to what was typed. The three kinds never overlap: only an e-mail address has an @, and a username has a
letter, which a phone number has not.
"""

import re
import unicodedata
from functools import lru_cache
from urllib.parse import unquote

from app import user_input

EMAIL_MAX = 254  # RFC 5321, section 4.5.3.1.3, less the angle brackets of the path
_UNWANTED = re.compile(r"[\x00-\x20\x7f-\xa0,;<>\ud800-\udfff]")
_PLAIN_LOCAL = re.compile(r"(?=.{1,64}\Z)[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)*\Z", re.ASCII)
"""A dot-atom (RFC 5322, section 3.2.3) that is no longer than RFC 5321, section 4.5.3.1.1 has it."""
_PHONE = re.compile(r"[+\d ().\-/‐-―−]{3,40}\Z")  # as people write them, any dash
_NAMED = re.compile(r"([^<>]*)<([^<>]*)>\Z")
_LINK = re.compile(r"(mailto|tel|sms):(?://)?", re.IGNORECASE)
_QUOTES = {'"': '"', "'": "'", "\u201c": "\u201d", "\u201e": "\u201c", "\u2018": "\u2019", "\u00ab": "\u00bb"}
_USERNAME = re.compile(r"(?=.*[a-z])[a-z0-9][a-z0-9._-]{2,63}\Z")


USERNAME_MAX = 32
RESERVED = frozenset(
    (
        "abuse", "account", "accounts", "admin", "administrator", "anonymous", "api", "billing", "contact", "daemon",
        "everyone", "guest", "help", "hostmaster", "info", "latchkey", "login", "logout", "mail", "me", "moderator",
        "nobody", "no-reply", "noreply", "null", "official", "owner", "postmaster", "register", "root", "security",
        "settings", "signin", "staff", "support", "sysadmin", "system", "undefined", "webmaster", "www",
    )
)  # fmt: skip
"""Names that look like the operator's or the system's own (RFC 2142, and what systems call themselves)."""


class InvalidIdentifier(ValueError):
    """A text is not an address of the kind that was asked for. Its message never repeats that text.

    :ivar kind: "email", "phone" or "username"
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


def email(text: str) -> str:
    """Return an e-mail address as it is stored and written to. Raises ``InvalidIdentifier``.

    Lower case throughout, the domain in its IDNA form (RFC 5890): "Ada@Bücher.example" is
    "ada@xn--bcher-kva.example". At most 254 characters (RFC 5321).

    Rejected though some RFC allows it: quoted local parts and address literals, which mail programs read in different
    ways, and local parts beyond ASCII, which need SMTPUTF8 (RFC 6531) all the way and look like other people's.
    The reserved names .test and .example (RFC 2606) are let through for trials; whether mail arrives is not asked here.
    """
    folded = _without_scheme("mailto", _without_name(_folded("email", text)))
    folded = folded[:-1] if folded.endswith(".") else folded  # of the domain, as in a zone file or at a sentence's end
    if _UNWANTED.search(folded) or folded.count("@") != 1:
        raise InvalidIdentifier("email", "An e-mail address has one @ and no spaces, commas or brackets.")
    local, _, domain = folded.partition("@")
    if _PLAIN_LOCAL.match(local):  # as nearly all are; then all is said by the domain, and many share one
        mailbox = _mailbox_at(domain)
        canonical = f"{local}{mailbox[1:]}" if mailbox else ""
    else:
        canonical = _mailbox(folded)
    if not canonical:
        raise InvalidIdentifier("email", "This is not an e-mail address.")
    if len(canonical) > EMAIL_MAX:
        raise InvalidIdentifier("email", f"An e-mail address has at most {EMAIL_MAX} characters.")
    return canonical.lower()


@lru_cache(maxsize=1024)
def _mailbox_at(domain: str) -> str:
    """Return what ``_mailbox`` makes of "a" at ``domain``."""
    return _mailbox(f"a@{domain}")


def _mailbox(text: str) -> str:
    """Return an address with its domain in IDNA form, or "" when it is none."""
    # Imported here, as below: not every process reads addresses, and a start should not wait for the tables.
    from email_validator import EmailNotValidError, validate_email

    try:
        parsed = validate_email(
            text, check_deliverability=False, test_environment=True, allow_smtputf8=False, strict=True
        )
    except (EmailNotValidError, UnicodeError):
        return ""
    return f"{parsed.local_part}@{parsed.ascii_domain}"


def phone(text: str, region: str) -> str:
    """Return a phone number in E.164: "(650) 555-1234" in the US is "+16505551234". Raises ``InvalidIdentifier``.

    The number must lie in a range that its country has given out, not only have a possible length: each message
    to one that cannot exist costs money. 555 numbers for trials lie in such ranges where the area code does.
    Extensions and letters are refused; a text message cannot go there.
    :param region: two-letter country (ISO 3166) for numbers without a +, such as "US"
    """
    import phonenumbers

    folded = _without_scheme("tel", _without_scheme("sms", _folded("phone", text)))
    if not _PHONE.match(folded):
        raise InvalidIdentifier("phone", "A phone number has digits, and perhaps + ( ) . - / and spaces.")
    try:
        number = phonenumbers.parse(folded, region)
    except phonenumbers.NumberParseException:
        raise InvalidIdentifier("phone", "This is not a phone number.") from None
    if not phonenumbers.is_valid_number(number):
        raise InvalidIdentifier("phone", "There is no such phone number.")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def username(text: str) -> str:
    """Return a username in the one way it is stored: case folded, 3 to 64 of a-z 0-9 . _ - .

    It begins with a letter or digit and has at least one letter.
    :raises InvalidIdentifier: when it is none
    """
    folded = unicodedata.normalize("NFKC", _folded("username", text).casefold())
    if not _USERNAME.match(folded):
        raise InvalidIdentifier("username", "A username has 3 to 64 letters, digits, dots, dashes and underscores.")
    return folded


def new_username(text: str) -> str:
    """Return a username that can be chosen now: as ``username``, at most 32 characters, and not ``RESERVED``.

    Dots, dashes and underscores do not make another name of a reserved one, and neither stand at the end nor in a row.
    Raises ``InvalidIdentifier``.
    """
    name = username(text)
    if len(name) > USERNAME_MAX or name[-1] in "._-" or re.search(r"[._-]{2}", name):
        raise InvalidIdentifier(
            "username", f"A username has 3 to {USERNAME_MAX} characters, and ends in one of a-z 0-9."
        )
    if name in RESERVED or re.sub(r"[._-]", "", name) in RESERVED:
        raise InvalidIdentifier("username", "This name is kept for whoever runs the service.")
    return name


def country(number: str) -> str:
    """Return the country (ISO 3166, two letters) of a number in E.164, or "" for one of no country, as +883."""
    import phonenumbers

    try:
        found = phonenumbers.region_code_for_number(phonenumbers.parse(number, None))
    except phonenumbers.NumberParseException:
        return ""
    return found if found and found.isalpha() else ""


def gets_texts(number: str) -> bool:
    """Say whether a number in E.164 is of a mobile phone, or may be: in some countries, as the US, nobody can tell.

    Landlines get no texts. Premium, shared-cost and pager numbers are what toll fraud is made with.
    """
    import phonenumbers
    from phonenumbers import PhoneNumberType

    kind = phonenumbers.number_type(phonenumbers.parse(number, None))
    return kind in (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)


def mask(kind: str, value: str) -> str:
    """Return enough of a canonical address for its owner to know it, and too little to write to it.

    "j...@example.com", "...1234", "a...". For logs and for pages that others may see.
    :param kind: "email", "phone" or "username"
    """
    if kind == "email":
        local, _, domain = value.rpartition("@")
        return f"{local[:1]}...@{domain}"
    return f"...{value[-4:]}" if kind == "phone" else f"{value[:1]}..."


def _folded(kind: str, text: object) -> str:
    """Fold look-alikes, and drop invisible characters and the white space and quotes around the text."""
    if not isinstance(text, str) or len(text) > 4 * EMAIL_MAX:
        raise InvalidIdentifier(kind, "This is too long, or no text at all.")
    folded = unicodedata.normalize("NFKC", user_input.visible(text)).strip()
    if len(folded) > 1 and _QUOTES.get(folded[0]) == folded[-1]:
        folded = folded[1:-1].strip()
    return folded


def _without_scheme(scheme: str, text: str) -> str:
    """Return what a ``mailto:``, ``tel:`` or ``sms:`` link (RFC 6068, 3966, 5724) leads to; other texts as they are.

    Some apps write two slashes behind the colon, which are no part of an address.
    """
    found = _LINK.match(text)
    if not found or found[1].lower() != scheme:
        return text
    target = unquote(text[found.end() :].partition("?")[0])
    return unicodedata.normalize("NFKC", user_input.visible(target)).strip()


def _without_name(text: str) -> str:
    """Return the address of "Ada <ada@example.com>". A name that is an address itself has to be the same one."""
    found = _NAMED.match(text)
    if not found:
        return text
    name, address = found[1].strip().strip("\"'"), found[2].strip()
    return text if "@" in name and name.lower() != address.lower() else address
