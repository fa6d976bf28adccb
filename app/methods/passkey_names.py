"""What a passkey is called: by whom it says it is, or as its owner likes."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path

from app.kit.refusals import Refused

LONGEST = 64
"""Characters of a name, at most."""
UNNAMED = "Passkey"
LIST = Path(__file__).with_name("aaguids.json")


def checked(name: str, field: str = "name") -> str:
    """Return ``name`` tidied up: NFKC, with single blanks.

    :raises Refused: on ``field``: ``webauthn_name_required``, ``invalid_input_length``, ``invalid_input`` (markup) or
        ``webauthn_name_disallowed_characters`` (what cannot be seen)
    """
    tidy = " ".join(unicodedata.normalize("NFKC", name).split())
    if not tidy:
        raise Refused("webauthn_name_required", field=field)
    if len(tidy) > LONGEST:
        raise Refused("invalid_input_length", field=field, length=LONGEST)
    if set(tidy) & set("<>"):
        raise Refused("invalid_input", field=field)
    if any(unicodedata.category(character).startswith("C") for character in tidy):
        raise Refused("webauthn_name_disallowed_characters", field=field)
    return tidy


def name_for(aaguid: str, taken: Collection[str]) -> str:
    """Return a name that the user has not given yet: of the model or service, with a number where there are several."""
    plain = _names().get(aaguid, UNNAMED)
    number = 1
    while (name := plain if number == 1 else f"{plain} {number}") in taken:
        number += 1
    return name


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    """Return the list of who an AAGUID is; its source and date stand in the file."""
    names: dict[str, str] = json.loads(LIST.read_text())["names"]
    return names
