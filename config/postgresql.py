"""``postgresql://`` URLs, parsed by libpq itself so that every URL psql accepts is accepted here."""

import re

WHOLE_NUMBERS = frozenset(
    ("connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout")
)
NOT_PRIMARY = ("read-only", "standby", "prefer-standby")
OURS = {
    "statement_timeout": "set LATCHKEY_STATEMENT_TIMEOUT",
    "lock_timeout": "set LATCHKEY_STATEMENT_TIMEOUT",
    "synchronous_commit": "each transaction says for itself whether it waits for the disk",
    "timezone": "times are kept in UTC",
}
"""Parameters that ``options`` must not set because we set them, with what to do instead."""

ENCODE = "percent-encode special characters of user and password"


def parameters(url: str) -> dict[str, str]:
    """Return the parts of ``url`` by libpq parameter name. Several hosts are comma-separated in one value.

    :raises ValueError: when libpq or we can't use it; names the parameter but never its value, which may be a password
    """
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        found = {
            name: str(value) for name, value in conninfo_to_dict(_as_libpq_reads(url)).items() if value is not None
        }
    except ProgrammingError as error:
        unknown = re.search(r'invalid URI query parameter: "(\w+)"', str(error))
        raise ValueError(
            f"libpq has no parameter {unknown[1]}" if unknown else f"it is not a URL that libpq can read ({ENCODE})"
        ) from None
    _check_values(found)
    return found


def _as_libpq_reads(url: str) -> str:
    """Return ``url`` with libpq's scheme, and with "=" encoded in values (``?options=-csearch_path=auth``)."""
    base, mark, query = url.replace("postgresql+psycopg://", "postgresql://", 1).partition("?")
    pairs = [pair.partition("=") for pair in query.split("&")]
    return base + mark + "&".join(name + sign + value.replace("=", "%3D") for name, sign, value in pairs)


def _check_values(found: dict[str, str]) -> None:
    for name in WHOLE_NUMBERS & found.keys():
        if not re.fullmatch(r"-?[0-9]{1,9}", found[name], re.ASCII):
            raise ValueError(f"{name} must be a whole number")
    for port in filter(None, found.get("port", "").split(",")):
        if not (re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) and 0 < int(port) < 65536):
            raise ValueError("port must be a number from 1 to 65535")
    if found.get("target_session_attrs") in NOT_PRIMARY:
        raise ValueError("target_session_attrs must select a writable server: read-write or primary")
    for name, instead in OURS.items():
        if re.search(rf"-[c-]\s*{name.replace('_', '[-_]')}\s*=", found.get("options", ""), re.IGNORECASE):
            raise ValueError(f"its options must not set {name}: {instead}")
    if (wrong := _refused_by_libpq(found)) is not None:
        raise ValueError(wrong)


def _refused_by_libpq(found: dict[str, str]) -> str | None:
    """Return libpq's objection to these values, if any, without connecting to a server."""
    from psycopg import pq
    from psycopg.conninfo import make_conninfo

    nowhere = {"host": ",".join(["/nowhere"] * (1 + found.get("host", "").count(",")))}
    elsewhere = {name: value for name, value in found.items() if name not in ("host", "hostaddr")} | nowhere
    attempt = pq.PGconn.connect_start(make_conninfo(**elsewhere).encode())
    said = attempt.error_message.decode(errors="replace")
    attempt.finish()
    if attempt.status != pq.ConnStatus.BAD or said.startswith("connection to server"):
        return None
    named = re.search(r"\b(" + "|".join(map(re.escape, sorted(found, key=len, reverse=True))) + r")\b", said)
    return f"libpq rejects the value of {named[1]}" if named else f"libpq rejects it ({ENCODE})"
