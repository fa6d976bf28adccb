"""Parse email addresses, phone numbers and usernames, each into a single canonical form.

Look-alike characters are folded first (Unicode NFKC) and invisible ones removed; the result is validated afterwards,
never before: otherwise "K" (U+212A, KELVIN SIGN) would allow a second Karl. People copy addresses from emails, cards
and links, so surrounding whitespace and quotes, ``mailto:``, ``tel:``, ``sms:``, a name before ``<ada@example.com>``
and a trailing dot of the domain are removed as well. The values returned here identify an account uniquely, and
messages are sent to them, not to what was typed. The three kinds never overlap: only an email address has an @, and a
username has at least one letter, which a phone number doesn't.
"""

import re
import unicodedata
from functools import lru_cache
from urllib.parse import unquote

from app import user_input

EMAIL_MAX = 254  # RFC 5321, section 4.5.3.1.3, without the path's angle brackets
_UNWANTED = re.compile(r"[\x00-\x20\x7f-\xa0,;<>\ud800-\udfff]")
_PLAIN_LOCAL = re.compile(r"(?=.{1,64}\Z)[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)*\Z", re.ASCII)
"""A dot-atom (RFC 5322, section 3.2.3) within the length limit of RFC 5321, section 4.5.3.1.1."""
_PHONE = re.compile(r"[+\d ().\-/‐-―−]{3,40}\Z")  # as people write them, with any kind of dash
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
"""Names that look like the operator or the system (RFC 2142, and common system accounts)."""


class InvalidIdentifier(ValueError):
    """The text isn't a valid identifier of this kind. The message never repeats the text.

    :ivar kind: "email", "phone" or "username"
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


def email(text: str) -> str:
    """Return an email address in the form in which it is stored and used. Raise ``InvalidIdentifier`` if invalid.

    Lower case, with the domain in IDNA form (RFC 5890): "Ada@Bücher.example" becomes
    "ada@xn--bcher-kva.example". At most 254 characters (RFC 5321).

    Rejected although RFCs allow them: quoted local parts and address literals, which mail programs interpret
    differently, and non-ASCII local parts, which need end-to-end SMTPUTF8 (RFC 6531) and can imitate other addresses.
    The reserved names .test and .example (RFC 2606) are accepted for testing. Deliverability isn't checked here.
    """
    folded = _without_scheme("mailto", _without_name(_folded("email", text)))
    folded = folded[:-1] if folded.endswith(".") else folded  # a trailing dot, as in zone files or after a sentence
    if _UNWANTED.search(folded) or folded.count("@") != 1:
        raise InvalidIdentifier("email", "An e-mail address has one @ and no spaces, commas or brackets.")
    local, _, domain = folded.partition("@")
    if _PLAIN_LOCAL.match(local):  # nearly all; then only the domain matters, which can be cached
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
    """Return the result of ``_mailbox`` for the local part "a" at ``domain``."""
    return _mailbox(f"a@{domain}")


def _mailbox(text: str) -> str:
    """Return an address with its domain in IDNA form, or "" if it is invalid."""
    # Imported here, like phonenumbers below: not every process parses addresses, and loading the tables slows startup.
    from email_validator import EmailNotValidError, validate_email

    try:
        parsed = validate_email(
            text, check_deliverability=False, test_environment=True, allow_smtputf8=False, strict=True
        )
    except (EmailNotValidError, UnicodeError):
        return ""
    return f"{parsed.local_part}@{parsed.ascii_domain}"


def phone(text: str, region: str) -> str:
    """Return a phone number in E.164: "(650) 555-1234" in the US is "+16505551234". Raise ``InvalidIdentifier``.

    The number must be in a range that its country has assigned; a possible length isn't enough, because every message
    to a nonexistent number costs money. Fictitious 555 numbers are in such ranges if their area code is.
    Extensions and letters are rejected, since text messages can't be sent there.
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
    """Return a username in canonical form: case folded, 3 to 64 characters of a-z 0-9 . _ - .

    It starts with a letter or digit and contains at least one letter.
    :raises InvalidIdentifier: if it is invalid
    """
    folded = unicodedata.normalize("NFKC", _folded("username", text).casefold())
    if not _USERNAME.match(folded):
        raise InvalidIdentifier("username", "A username has 3 to 64 letters, digits, dots, dashes and underscores.")
    return folded


def new_username(text: str) -> str:
    """Return a username that can be chosen: like ``username``, but at most 32 characters, and not ``RESERVED``.

    Adding dots, dashes or underscores to a reserved name doesn't help. These can't be doubled or at the end, either.
    Raise ``InvalidIdentifier`` if it is invalid.
    """
    name = username(text)
    if len(name) > USERNAME_MAX or name[-1] in "._-" or re.search(r"[._-]{2}", name):
        raise InvalidIdentifier(
            "username", f"A username has 3 to {USERNAME_MAX} characters, and ends in one of a-z 0-9."
        )
    if name in RESERVED or re.sub(r"[._-]", "", name) in RESERVED:
        raise InvalidIdentifier("username", "This name is reserved.")
    return name


def country(number: str) -> str:
    """Return the country (ISO 3166, two letters) of an E.164 number, or "" for global numbers such as +883."""
    import phonenumbers

    try:
        found = phonenumbers.region_code_for_number(phonenumbers.parse(number, None))
    except phonenumbers.NumberParseException:
        return ""
    return found if found and found.isalpha() else ""


def gets_texts(number: str) -> bool:
    """Return whether an E.164 number is or may be a mobile phone: in some countries, such as the US, we can't tell.

    Landlines can't receive text messages. Premium-rate, shared-cost and pager numbers are used for toll fraud.
    """
    import phonenumbers
    from phonenumbers import PhoneNumberType

    kind = phonenumbers.number_type(phonenumbers.parse(number, None))
    return kind in (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)


def mask(kind: str, value: str) -> str:
    """Mask an identifier so that its owner recognizes it, but others can't send anything to it.

    "j...@example.com", "...1234", "a...". For logs, and for pages that others may see.
    :param kind: "email", "phone" or "username"
    """
    if kind == "email":
        local, _, domain = value.rpartition("@")
        return f"{local[:1]}...@{domain}"
    return f"...{value[-4:]}" if kind == "phone" else f"{value[:1]}..."


def _folded(kind: str, text: object) -> str:
    """Fold look-alikes, and remove invisible characters and surrounding whitespace and quotes."""
    if not isinstance(text, str) or len(text) > 4 * EMAIL_MAX:
        raise InvalidIdentifier(kind, "This is too long, or no text at all.")
    folded = unicodedata.normalize("NFKC", user_input.visible(text)).strip()
    if len(folded) > 1 and _QUOTES.get(folded[0]) == folded[-1]:
        folded = folded[1:-1].strip()
    return folded


def _without_scheme(scheme: str, text: str) -> str:
    """Return the target of a ``mailto:``, ``tel:`` or ``sms:`` link (RFC 6068, 3966, 5724); other text unchanged.

    Some apps add two slashes after the colon, which aren't part of the address.
    """
    found = _LINK.match(text)
    if not found or found[1].lower() != scheme:
        return text
    target = unquote(text[found.end() :].partition("?")[0])
    return unicodedata.normalize("NFKC", user_input.visible(target)).strip()


def _without_name(text: str) -> str:
    """Return the address in "Ada <ada@example.com>". If the name is an address itself, it must be the same one."""
    found = _NAMED.match(text)
    if not found:
        return text
    name, address = found[1].strip().strip("\"'"), found[2].strip()
    return text if "@" in name and name.lower() != address.lower() else address
