"""What a passkey is called: by its provider's name, or as its owner likes."""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path

from app.authenticators import names

UNNAMED = "Passkey"
LIST = Path(__file__).with_name("aaguids.json")


def checked(name: str, field: str = "name") -> str:
    """Return ``name`` tidied up: NFKC, with single blanks.

    :raises Rejected: on ``field``: ``webauthn_name_required``, ``invalid_input_length``, ``invalid_input`` (markup) or
        ``webauthn_name_disallowed_characters`` (what cannot be seen)
    """
    return names.checked(
        name, field, required="webauthn_name_required", disallowed="webauthn_name_disallowed_characters"
    )


def name_for(aaguid: str, taken: Collection[str]) -> str:
    """Return a name that the user has not given yet: of the model or service, with a number where there are several."""
    return names.numbered(_names().get(aaguid, UNNAMED), taken)


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    """Return the list of who an AAGUID is; its source and date stand in the file."""
    listed: dict[str, str] = json.loads(LIST.read_text())["names"]
    return listed
