"""Read the operator's files whole, up to a maximum size."""

from pathlib import Path

KIB = 1024


def read_text(path: str, largest: int) -> str:
    """Return a file's text.

    :param largest: maximum size in bytes
    :raises ValueError: when it is unreadable, too large or not UTF-8; states the reason, never the content
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
