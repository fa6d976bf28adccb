"""Host names in normalized form: lower case, A-labels, no trailing dot."""

import idna


def ascii_host(host: str) -> str:
    """Return a host name as it appears in requests: ``Zürich.example.`` becomes ``xn--zrich-kva.example`` (RFC 5891,
    5).

    Browsers send A-labels and omit the trailing dot. IP addresses are returned unchanged.
    :raises ValueError: when it isn't a valid host name
    """
    name = host.lower()
    try:
        name = name if name.isascii() else idna.encode(name, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise ValueError(f"its host is not a valid DNS name ({error})") from None
    name = name.removesuffix(".")
    if not all(name.split(".")) and ":" not in name:
        raise ValueError("its host has an empty part: two dots in a row, or one at the beginning")
    return name
