"""Types of setting values besides plain strings, numbers and booleans."""

import ipaddress
import re
from datetime import timedelta
from functools import lru_cache
from typing import Annotated, Any
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from config.hosts import ascii_host
from config.patterns import repeats_what_varies

NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)
ISO_8601 = re.compile(
    r"P(?=[0-9T])([0-9]+W)?([0-9]+D)?(T(?=[0-9])([0-9]+H)?([0-9]+M)?([0-9]+(\.[0-9]+)?S)?)?", re.ASCII
)
COOKIE_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
HOST = re.compile(r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", re.ASCII)
SEGMENT = re.compile(r"[A-Za-z0-9._~-]+", re.ASCII)
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
CREDENTIAL = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?", re.ASCII)
HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?", re.ASCII)
OURS = ("connection", "content-length", "content-type", "host", "idempotency-key", "transfer-encoding")
MAX_SOCKET_LENGTH = 100
"""Maximum length in bytes of a Unix socket's path (107 on Linux, 103 on macOS)."""
MAX_DURATION = timedelta(days=3650)


def read_duration(value: Any) -> Any:
    """Parse text as seconds ("600") or an ISO 8601 duration of weeks to seconds ("PT10M"); keep other values.

    :raises ValueError: for any other text, such as "10 minutes" or "00:10", which is ambiguous
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    if NUMBER.fullmatch(text):
        return float(text)
    if ISO_8601.fullmatch(text.upper()):
        return text.upper()
    raise ValueError("a duration is a number of seconds (600) or ISO 8601 (PT10M)")


def read_list(value: Any) -> Any:
    """Split text at commas and newlines, dropping whitespace and empty parts."""
    if isinstance(value, str):
        return tuple(part.strip() for part in re.split(r"[,\n]", value) if part.strip())
    return value


def unique(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Reject a list with duplicates."""
    if len(set(values)) != len(values):
        raise ValueError("the list contains a value twice")
    return values


def cookie_name(value: str) -> str:
    """Reject invalid cookie names (RFC 6265, section 4.1.1) and names reserved for our own cookies."""
    if value and not COOKIE_NAME.fullmatch(value):
        raise ValueError("a cookie name may have only letters, digits and !#$%&'*+-.^_`|~")
    if "latchkey" in value.lower():
        raise ValueError("Latchkey's own cookies have names like this one")
    return value


def lower(value: Any) -> Any:
    """Normalize text to lower case without surrounding whitespace."""
    return value.strip().lower() if isinstance(value, str) else value


def upper(value: Any) -> Any:
    """Normalize text, such as a country code, to upper case without surrounding whitespace."""
    return value.strip().upper() if isinstance(value, str) else value


def split_url(text: str) -> SplitResult:
    """Split a URL, which must have a host and a valid port.

    :raises ValueError: without the URL, which may contain a password
    """
    try:
        parts = urlsplit(text)
        sound = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        sound = False
    if not sound or re.search(r"[\s\\\x00-\x1f\x7f]", text):
        raise ValueError("it is not a URL with a host (percent-encode special characters of a password)")
    return parts


def check_user(parts: SplitResult) -> None:
    """Accept a URL whose user and password are valid UTF-8 (RFC 3986, section 3.2.1) or absent.

    :raises ValueError: without the user or password
    """
    try:
        for text in filter(None, (parts.username, parts.password)):
            unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("its user or password is not percent-encoded UTF-8 (u with two dots is %C3%BC)") from None


def read_headers(text: str) -> list[tuple[str, str]]:
    """Return name and value of each ``Name: value`` line (RFC 9110, section 5).

    :raises ValueError: without any values, which may be secrets
    """
    headers = []
    for line in filter(None, map(str.strip, text.splitlines())):
        name, colon, value = line.partition(":")
        if not colon or not HEADER_NAME.fullmatch(name) or not HEADER_VALUE.fullmatch(value.strip()):
            raise ValueError("each line must be a header in ASCII, such as X-Api-Key: secret")
        if name.lower() in OURS:
            raise ValueError(f"{name} is set by Latchkey itself")
        headers.append((name, value.strip()))
    return headers


def check_headers(secret: SecretStr) -> SecretStr:
    """Accept text that ``read_headers`` can parse, without duplicate names."""
    names = [name.lower() for name, _ in read_headers(secret.get_secret_value())]
    if len(set(names)) != len(names):
        raise ValueError("it contains a header twice")
    return secret


def check_credential(text: str) -> str:
    """Accept what a provider issues: it travels in headers and addresses, where other characters never match.

    :raises ValueError: without the text, which may be a secret
    """
    if text and not CREDENTIAL.fullmatch(text):
        raise ValueError("it has spaces around it, or characters other than printable ASCII: copy it again")
    return text


def check_secret_credential(secret: SecretStr) -> SecretStr:
    """Accept a secret as ``check_credential`` does."""
    check_credential(secret.get_secret_value())
    return secret


def check_encodable(secret: SecretStr) -> SecretStr:
    """Reject a secret whose bytes in the environment aren't UTF-8."""
    try:
        secret.get_secret_value().encode()
    except UnicodeEncodeError:
        raise ValueError("it is not UTF-8") from None
    return secret


def check_pattern(text: str) -> str:
    """Accept a regular expression whose matching time isn't exponential in the length of its input."""
    try:
        re.compile(text)
    except (re.error, OverflowError) as error:
        raise ValueError(f"it is not a valid regular expression ({error})") from None
    if repeats_what_varies(text):
        what = "as in (a+)+ or (a|b)*: matching can take hours. Repeat a single character or class: a+, [ab]*"
        raise ValueError(f"it repeats a group that contains a repetition or an alternative, {what}")
    return text


def is_in_memory(url: str) -> bool:
    """Return whether a ``sqlite:`` URL names no file: it is empty, ``:memory:``, or an in-memory SQLite URI.

    See sqlite.org/uri.html.
    """
    path, _, query = url.removeprefix("sqlite:").removeprefix("//").removeprefix("/").partition("?")
    return path in ("", ":memory:", "file:", "file::memory:") or "mode=memory" in query.split("&")


def check_reachable(parts: SplitResult) -> None:
    """Accept a URL that can be passed to an HTTP client: its host can be resolved, and the rest is ASCII.

    :raises ValueError: without the URL
    """
    if not (parts.path + parts.query).isascii():
        raise ValueError("percent-encode characters after its host that are not ASCII")
    try:
        (parts.hostname or "").encode("idna")
    except UnicodeError:
        raise ValueError("its host can't be looked up (it has an empty part, or one over 63 letters)") from None


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine (RFC 6761 section 6.3 for localhost)."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_origin(text: str) -> str:
    """Return scheme://host[:port] of a web address that has no path, query or user."""
    parts = split_url(text.strip().rstrip("/"))
    if parts.scheme not in ("http", "https"):
        raise ValueError("it must begin with https:// (http:// in development)")
    if parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("it must be only a scheme and a host, as in https://login.example.com")
    host = ascii_host(parts.hostname or "")
    host = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port not in (None, usual) else "")


def read_address(text: str) -> str:
    """Return scheme://host[:port] of a web address, and its path without trailing slash; "" stays ""."""
    parts = split_url(text.strip()) if text else None
    if parts is None:
        return ""
    path = parts.path.rstrip("/")
    segments = path.split("/")[1:]
    if any(not SEGMENT.fullmatch(segment) or segment in (".", "..") for segment in segments):
        raise ValueError("its path must be plain, as in https://example.com/auth: letters, digits, dots, dashes")
    return read_origin(parts._replace(path="").geturl()) + path


@lru_cache(maxsize=64)
def parts_of_address(address: str) -> tuple[str, str]:
    """Return the origin and path of an address returned by ``read_address``."""
    scheme, mark, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host}", f"{slash}{path}"


def check_target(text: str) -> str:
    """Accept a path on this host ("/welcome") or a full http(s) URL, and "" for the built-in page."""
    if not text or re.fullmatch(r"/(?![/\\])[^\s\\\x00-\x1f]*", text):
        return text
    parts = split_url(text)
    if parts.scheme not in ("http", "https"):
        raise ValueError("it must be a path beginning with one / or an http(s) URL")
    user, at, host = parts.netloc.rpartition("@")
    if host.startswith("["):  # an IPv6 address
        return text
    name, colon, port = host.partition(":")
    return parts._replace(netloc=f"{user}{at}{ascii_host(name)}{colon}{port}").geturl()


def check_listener(text: str) -> str:
    """Accept an address to listen on: ``address:port``, ``[address]:port``, ``unix:/absolute/path``, or "" for none."""
    if text and listener(text) is None:
        raise ValueError("use 127.0.0.1:9464, [::1]:9464 or unix:/run/latchkey/metrics.sock")
    return text


def listener(text: str) -> tuple[str, int] | str | None:
    """Return the address and port, or the socket path, in ``text``; None when it is neither."""
    if text.startswith("unix:/"):
        path = text.removeprefix("unix:")
        return path if len(path.encode()) <= MAX_SOCKET_LENGTH and not path.endswith("/") else None
    host, colon, port = text.rpartition(":")
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or bracketed != (address.version == 6) or not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII):
        return None
    return (str(address), int(port)) if 0 < int(port) < 65536 else None


def check_host(text: str) -> str:
    """Return host or host:port in lower case and A-labels. Patterns such as * are rejected."""
    name, colon, port = (text, "", "") if text.endswith("]") or ":" not in text else text.rpartition(":")
    host = f"{ascii_host(name)}{colon}{port}"
    if not HOST.fullmatch(host):
        raise ValueError("a host must be a name or an address, as in login.example.com or login.example.com:8443")
    return host


def check_network(text: str) -> str:
    """Return an address or network in canonical form, such as 10.0.0.0/8."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise ValueError(f"it is not an address or network ({error})") from None


def read_host(value: Any) -> Any:
    """Read a host name without a port, like ``check_host``; "" stays ""."""
    return ascii_host(value.strip()) if isinstance(value, str) and value.strip() else value


def having_scheme(*schemes: str) -> AfterValidator:
    """Accept "" or a URL with one of these schemes.

    URLs of files, sockets and databases don't need a host. Database URLs may list several.
    """

    def check(text: str) -> str:
        scheme, mark, rest = text.partition("://")
        if text and (not mark or scheme not in schemes or not rest):
            raise ValueError(f"it must begin with {' or '.join(scheme + '://' for scheme in schemes)}")
        if rest and not scheme.startswith(("sqlite", "postgresql", "unix")):
            parts = split_url(text)
            check_user(parts)
            check_reachable(parts)
        return text

    return AfterValidator(check)


Duration = Annotated[timedelta, BeforeValidator(read_duration), Field(gt=timedelta(0), le=MAX_DURATION)]
DurationOrZero = Annotated[timedelta, BeforeValidator(read_duration), Field(ge=timedelta(0), le=MAX_DURATION)]
OptionalAddress = Annotated[str, AfterValidator(read_address)]
Host = Annotated[str, AfterValidator(check_host)]
Networks = Annotated[
    tuple[Annotated[str, AfterValidator(check_network)], ...],
    BeforeValidator(read_list),
    AfterValidator(unique),
]
Credential = Annotated[str, AfterValidator(check_credential)]
SecretCredential = Annotated[SecretStr, AfterValidator(check_secret_credential)]
SecretText = Annotated[SecretStr, AfterValidator(check_encodable)]
Headers = Annotated[SecretStr, AfterValidator(check_headers)]
Pattern = Annotated[str, AfterValidator(check_pattern)]
Target = Annotated[str, AfterValidator(check_target)]
