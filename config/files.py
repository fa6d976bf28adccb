"""Files of the operator's, read whole and never larger than they should be."""

from pathlib import Path

KIB = 1024


def read_text(path: str, largest: int) -> str:
    """Return a file's text.

    :param largest: bytes that it may have
    :raises ValueError: when it can't be read, is larger or no UTF-8; says which, not what it holds
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(largest + 1)
    except OSError as error:
        raise ValueError(f"can't be read ({error.strerror})") from None
    if len(data) > largest:
        size = f"{largest // KIB // KIB} MiB" if largest >= KIB * KIB else f"{largest // KIB} KiB"
        raise ValueError(f"is larger than {size}")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
